//! Bounds: a hostile template or body ends in an error, soon.

use super::{VtlError, body, render};
use crate::vtl::{Context, MAX_TEMPLATE, Template};

#[test]
fn rendering_is_bounded() {
    let many = "#set($l = [1..900])";
    for (name, template, expected) in [
        ("rounds", "#foreach($i in [1..1001])#end".to_owned(), "rounds"),
        ("a range", "#set($l = [1..9000000000])".to_owned(), "work"),
        ("loops", format!("{many}#foreach($a in $l)#foreach($b in $l)#foreach($c in $l)#end#end#end"), "work"),
        ("output", format!("{many}#foreach($a in $l)#foreach($b in $l){}#end#end", "x".repeat(100)), "output"),
        ("text", format!("#set($s = 'xxxxxxxxxxxxxxxx'){many}#foreach($a in $l)#set($s = \"$s$s\")#end"), "output"),
        ("sums", format!("#set($s = 'xxxxxxxxxxxxxxxx'){many}#foreach($a in $l)#set($s = $s + $s)#end"), "output"),
        ("repeat", "#set($s = 'x')$s.repeat(999999999)".to_owned(), "output"),
        ("replace", format!("#set($s = '{}')$s.replace('x', $s)", "x".repeat(9000)), "output"),
        (
            "groups",
            format!("#set($s = '{0}')$s.replaceAll('(.*)', '{1}')", "x".repeat(9000), "$1".repeat(9000)),
            "output",
        ),
        (
            "lists",
            format!(
                "#set($l = []){many}#foreach($a in $l)$l.addAll($l)#end#set($k = [1])#foreach($a in [1..900])#set($x = $k.addAll($k))#end"
            ),
            "work",
        ),
        ("a macro in itself", "#macro(m)#m()#end#m()".to_owned(), "depth"),
        ("a block in itself", "#define($b)$b#end$b".to_owned(), "depth"),
        ("a list in itself", "#set($l = [])#set($x = $l.add($l))$l".to_owned(), "depth"),
        ("a map in itself", "#set($m = {})#set($m.m = $m)$m".to_owned(), "depth"),
        ("lists of lists", "#set($l = [])#foreach($a in [1..900])#set($l = [$l])#end$l".to_owned(), "depth"),
        ("patterns", "#set($s = 'x')#foreach($a in [1..900])$s.matches(\"$a\")#end".to_owned(), "work"),
        ("a large pattern", "#set($s = 'x')$s.matches('((\\w{900}){900}){900}')".to_owned(), "call"),
        ("paths", format!("{many}#foreach($a in $l)#foreach($b in $l)$input.path('$..*').size()#end#end"), "work"),
    ] {
        let context = body(r#"{"a": [1, 2, {"b": [3, {"c": 4}]}]}"#);
        let found = match render(&template, &context) {
            Ok(text) => format!("{} bytes", text.len()),
            Err(VtlError::Rounds { .. }) => "rounds".to_owned(),
            Err(VtlError::Work) => "work".to_owned(),
            Err(VtlError::Output) => "output".to_owned(),
            Err(VtlError::Depth) => "depth".to_owned(),
            Err(VtlError::Call { .. }) => "call".to_owned(),
            Err(other) => format!("{other:?}"),
        };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn reading_is_bounded() {
    for (name, template) in [
        ("parentheses", format!("#if({}1{})#end", "(".repeat(5000), ")".repeat(5000))),
        ("lists", format!("#set($a = {}{})", "[".repeat(5000), "]".repeat(5000))),
        ("nots", format!("#if({}true)#end", "!".repeat(5000))),
        ("blocks", "#if(true)".repeat(5000)),
        ("indices", "$a[".repeat(5000)),
        ("calls", "$a.b(".repeat(5000)),
        ("calls of macros", format!("#macro(m)#end{}", "#m(".repeat(5000))),
        ("strings without end", format!("#macro(m)#end{}", "#m(\"".repeat(5000))),
        ("length", "x".repeat(MAX_TEMPLATE + 1)),
    ] {
        assert!(matches!(Template::parse(&template), Err(VtlError::Syntax { .. })), "{name}");
    }
    for text in ["#a(\"".repeat(70_000), "$a ".repeat(100_000), "\\#$".repeat(100_000), "#".repeat(MAX_TEMPLATE)] {
        // However it ends, it ends.
        let read = Template::parse(&text);
        assert!(matches!(read, Ok(_) | Err(VtlError::Syntax { .. })));
    }
}

#[test]
fn long_sums_are_not_deep() {
    let sum = format!("#set($x = {}1)$x", "1 + ".repeat(20_000));
    assert_eq!(render(&sum, &Context::default()).as_deref(), Ok("20001"));
}

#[test]
fn bodies_are_bounded() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(render("$input.path('$')", &body(&deep)), Err(VtlError::Body(_))));
    let wide = format!("[{}0]", "0,".repeat(3_000_000));
    assert_eq!(render("$input.path('$[0]')", &body(&wide)), Err(VtlError::Work));
    assert_eq!(render("$input.body.length()", &body(&wide)).as_deref(), Ok("6000003"));
}
