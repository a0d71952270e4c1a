//! Lenient: where this engine takes what Velocity 1.7 refuses or loses, and the errors that it has in common.

use super::{VtlError, render};
use crate::vtl::{At, Context, Template};

#[test]
fn more_is_understood() {
    for (template, expected) in [
        // Velocity reads `-1` as one token and refuses it.
        ("#set($n = 3)#set($x = $n -1)$x", "2"),
        // It takes no sums as arguments.
        ("#set($l = [1, 2])$l.get($l.size() - 1)", "2"),
        ("#set($s = 'abc')$s.substring($s.length() - 1)", "c"),
        // It sets nothing through a formal or quiet name.
        ("#set(${a} = 1)$a #set($!b = 2)$b", "12"),
        // It fails on these at the end of a text, and loses some of them elsewhere.
        ("costs 5$", "costs 5$"),
        ("$ #set($a = 1)$$ # $a", "$$$ # 1"),
        // A parenthesis after what is no macro is text.
        ("see #12 (a) and #note (not a call: 1 + 2)", "see #12 (a) and #note (not a call: 1 + 2)"),
        // A list's own text, and a class's name that templates have no use for.
        ("#set($s = 'a,b')$s.split(',') $s.class", "[a, b] $s.class"),
        // Any value is escaped by its text; Java has no such method.
        ("$util.escapeJavaScript(5)", "5"),
    ] {
        assert_eq!(render(template, &Context::default()).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn mistakes_have_a_place() {
    for (template, line, column, message) in [
        ("a\n#if($x", 2, 7, "expected ')', found the end"),
        ("#if($x)\na", 1, 4, "this #if has no #end"),
        ("a\n  #end", 1, 1, "#end without a directive that it ends"),
        ("é ${foo bar}", 1, 8, "expected '}' after ${foo"),
        ("#set($a = )", 1, 11, "expected a value, found ')'"),
        ("#set($a = 'x)", 1, 11, "this string has no end"),
        ("#set($a = \"${b\")", 1, 11, "expected '}' after ${b"),
        ("\n\n#foreach($a of $b)#end", 3, 13, "expected 'in', found 'o'"),
        ("#if(true)#else #else #end", 1, 21, "#else after #else"),
        ("#parse('x')", 1, 1, "mapping templates have no #parse"),
        ("#[[ a", 1, 1, "#[[ without ]]#"),
        ("#macro(1)#end", 1, 8, "expected the macro's name"),
        ("$a[1", 1, 5, "expected ']', found the end"),
        ("$a.b(1 2)", 1, 8, "expected ',' or ')', found '2'"),
    ] {
        let error = Template::parse(template).unwrap_err();
        let expected = VtlError::Syntax { at: At { line, column }, message: message.to_owned() };
        assert_eq!(error, expected, "{template}");
    }
}

#[test]
fn failed_calls_have_a_place() {
    for (template, message) in [
        ("a\n $s.substring(9)", "line 2, column 2: begin 9, end 3, length 3"),
        ("a\n $l.get(-1)", "line 2, column 2: index -1 is out of a list"),
        ("a\n $l[7]", "line 2, column 2: index 7 is out of a list of 2"),
        ("a\n $n.parseInt('x')", "line 2, column 2: \"x\" is no number"),
        (
            "a\n $s.matches('(?=a)b')",
            "line 2, column 2: pattern \"^(?:(?=a)b)$\": look-around, including look-ahead and look-behind, is not supported",
        ),
        ("a\n $input.path('$[')", "line 2, column 2: the path ends too early"),
    ] {
        let names = "#set($s = 'abc')#set($l = [1, 2])#set($n = 0)";
        let template = format!("{names}{template}");
        let error = render(&template, &Context::default()).unwrap_err();
        assert_eq!(error.to_string(), message, "{template}");
    }
}
