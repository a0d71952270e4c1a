//! Template: whatever a mapping template says, it is refused with a place or rendered within its bounds, twice the same.
//!
//! Input: a template, a NUL, the body it looks into.

use rimward::vtl::{Context, MAX_OUTPUT, Template};

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (template, body) = text.split_once('\0').unwrap_or((&text, "{\"a\":[1,{\"b\":\"c\"}]}"));
    let Ok(template) = Template::parse(template) else { return };
    let context = Context { body: body.to_owned(), ..Context::default() };
    let rendered = template.render(&context);
    if let Ok(rendered) = &rendered {
        assert!(rendered.body.len() <= MAX_OUTPUT);
    }
    assert_eq!(rendered, template.render(&context));
}
