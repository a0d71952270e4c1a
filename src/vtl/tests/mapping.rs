//! Mapping: `$input`, `$util`, `$context` as templates in the wild use them.

use super::{Context, Overrides, VtlError, body, pairs, render};
use crate::vtl::Template;

fn request() -> Context {
    Context {
        body: r#"{"id": "7", "price": 1.0, "n": 10, "tags": ["a", "b"], "big": 12345678.9,
            "user": {"name": "O'Neil", "x y": null}}"#
            .to_owned(),
        path: pairs(&[("id", "p1"), ("both", "path")]),
        querystring: pairs(&[("q", "a b"), ("both", "query"), ("twice", "1"), ("twice", "2")]),
        header: pairs(&[("content-type", "application/json"), ("both", "header"), ("X-Key", "k")]),
        context: serde_json::json!({
            "requestId": "r-1", "httpMethod": "POST", "stage": "prod", "requestTimeEpoch": 1700000000123_u64,
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "curl", "apiKey": null},
            "authorizer": {"claims": {"sub": "u-1", "cognito:groups": "admin"}},
        }),
        stage_variables: pairs(&[("table", "todo")]),
        ..Context::default()
    }
}

#[test]
fn names_of_a_request() {
    for (template, expected) in [
        ("$input.json('$.id') $input.path('$.id')", r#""7" 7"#),
        ("$input.json('$.tags') $input.json('$.user')", r#"["a","b"] {"name":"O'Neil","x y":null}"#),
        ("$input.path('$.tags') $input.path('$.user')", r#"["a","b"] {name=O'Neil, x y=null}"#),
        ("$input.path('$.price') $input.path('$.n') $input.path('$.big')", "1.0 10 1.23456789E7"),
        ("#set($root = $input.path('$'))$root.user.name $root.tags[1] $root.tags.size()", "O'Neil b 2"),
        ("[$input.path('$.none')] $input.json('$.none') [$input.path('$.none').x.y]", r#"[] "" []"#),
        (
            "#if($input.path('$.none') == '')e#end#if($input.path('$.none'))t#end#if($input.path('$.id') != '')i#end",
            "ei",
        ),
        ("#if($input.path('$.none').isEmpty())e#end#if($input.params('zz') == '')p#end", "ep"),
        ("$input.params('id') $input.params('both') $input.params('q') [$input.params('zz')]", "p1 path a b []"),
        ("$input.params('x-key') $input.params().header.get('x-KEY') $input.params('twice')", "k k 2"),
        ("$input.params().path.id $input.params().querystring.q $input.params().get('path').both", "p1 a b path"),
        ("$context.requestId $context.identity.sourceIp $context.requestTimeEpoch", "r-1 192.0.2.1 1700000000123"),
        ("$context.authorizer.claims.sub $context.authorizer.claims['cognito:groups']", "u-1 admin"),
        ("[$context.identity.apiKey] [$context.nothing.at.all] [$context.authorizer.principalId]", "[] [] []"),
        ("$stageVariables.table ${stageVariables.table}-x [$stageVariables.none]", "todo todo-x []"),
        ("$util.escapeJavaScript($input.path('$.user.name'))", r"O\'Neil"),
        (r#"$util.escapeJavaScript($input.json('$.tags')).replaceAll("\\'", "'")"#, r#"[\"a\",\"b\"]"#),
        (r#"$util.escapeJavaScript("it's").replaceAll("\\'", "'")"#, "it's"),
        ("$util.base64Encode('hé') $util.base64Decode('aMOp') $util.base64Decode('!')", "aMOp hé "),
        ("$util.urlEncode('a b/é*~') $util.urlDecode('a+b%2F%C3%A9%zz')", "a+b%2F%C3%A9*%7E a b/é%zz"),
        (r#"#set($o = $util.parseJson('{"a": {"b": [1.50, 2]}}'))$o.a.b[0] $o.a $o.a.b.size()"#, "1.5 {b=[1.5,2]} 2"),
        (
            "$util.nothing('x') $input.nothing $input.nothing('x')",
            "$util.nothing('x') $input.nothing $input.nothing('x')",
        ),
        ("#set($x = $input.path('$.user'))#set($x.new = 1)$input.json('$.user.new')", "1"),
        (
            "$input.json('$.tags[-1]') $input.json('$..name') $input.json(\"$['user']['name']\")",
            r#""b" ["O'Neil"] "O'Neil""#,
        ),
    ] {
        assert_eq!(render(template, &request()).as_deref(), Ok(expected), "{template}");
    }
}

/// The console's own "Method request passthrough" template, in its shape.
#[test]
fn all_parameters_are_passed_through() {
    let template = r#"#set($allParams = $input.params())
{
"body-json" : $input.json('$'),
"params" : {
#foreach($type in $allParams.keySet())
    #set($params = $allParams.get($type))
"$type" : {
    #foreach($paramName in $params.keySet())
    "$paramName" : "$util.escapeJavaScript($params.get($paramName))"
        #if($foreach.hasNext),#end
    #end
}
    #if($foreach.hasNext),#end
#end
},
"stage-variables" : {
#foreach($key in $stageVariables.keySet())
"$key" : "$util.escapeJavaScript($stageVariables.get($key))"
    #if($foreach.hasNext),#end
#end
},
"context" : {
    "authorizer-principal-id" : "$context.authorizer.principalId",
    "http-method" : "$context.httpMethod",
    "source-ip" : "$context.identity.sourceIp"
    }
}
"#;
    let made: serde_json::Value = serde_json::from_str(&render(template, &request()).unwrap()).unwrap();
    let expected = serde_json::json!({
        "body-json": {"id": "7", "price": 1.0, "n": 10, "tags": ["a", "b"], "user": {"name": "O'Neil", "x y": null}, "big": 12345678.9},
        "params": {
            "path": {"id": "p1", "both": "path"},
            "querystring": {"q": "a b", "both": "query", "twice": "2"},
            "header": {"content-type": "application\\/json".replace('\\', ""), "both": "header", "X-Key": "k"},
        },
        "stage-variables": {"table": "todo"},
        "context": {"authorizer-principal-id": "", "http-method": "POST", "source-ip": "192.0.2.1"},
    });
    assert_eq!(made, expected);
}

#[test]
fn items_become_plain_objects() {
    let template = r##"#set($inputRoot = $input.path('$'))
{
  "todos": [
#foreach($elem in $inputRoot.Items)
    {
      "id": "$elem.id.S",
      "done": $elem.done.BOOL,
      "tags": [#foreach($tag in $elem.tags.L)"$tag.S"#if($foreach.hasNext), #end#end]
    }#if($foreach.hasNext),#end

#end
  ]
}"##;
    let answer = r#"{"Count": 2, "Items": [{"id": {"S": "1"}, "done": {"BOOL": true}, "tags": {"L": [{"S": "a"}, {"S": "b"}]}},
        {"id": {"S": "2"}, "done": {"BOOL": false}, "tags": {"L": []}}]}"#;
    let expected = "{\n  \"todos\": [\n    {\n      \"id\": \"1\",\n      \"done\": true,\n      \"tags\": [\"a\", \"b\"]\n    },\n    {\n      \
                    \"id\": \"2\",\n      \"done\": false,\n      \"tags\": []\n    }\n  ]\n}";
    assert_eq!(render(template, &body(answer)).as_deref(), Ok(expected));
}

#[test]
fn bodies_that_are_none() {
    let empty = Context::default();
    // Recorded from the service: an empty body reads `{}`, and has no parts.
    assert_eq!(render("$input.body|$input.json('$')|$input.path('$.a')|", &empty).as_deref(), Ok(r#"{}|""||"#));
    assert_eq!(render("$input.body", &body("not json")).as_deref(), Ok("not json"));
    for text in ["not json", "{", "{\"a\" 1}", "[1,]", "1 2", "\"a\nb\"", "01", "{\"a\":tru}", "\"\\x\"", "\"\\ud800\""]
    {
        assert!(matches!(render("$input.path('$')", &body(text)), Err(VtlError::Body(_))), "{text}");
    }
    let numbers = "[0,-0,1.0,-1.50,1e2,1E+2,12345678901234567890123,1.7976931348623157e308]";
    let expected = "[0,0,1.0,-1.5,100.0,100.0,12345678901234567890123,1.7976931348623157E308]";
    assert_eq!(render("$input.json('$')", &body(numbers)).as_deref(), Ok(expected));
}

#[test]
fn overrides_are_handed_back() {
    let template = "#set($context.requestOverride.header.X-New = \"v$context.stage\")#set($context.requestOverride.path.id = 5)\
        #set($context.requestOverride.querystring[\"q\"] = 'x')#set($context.responseOverride.status = 404)\
        #set($context.responseOverride.header.Location = '/a')ok";
    let made = Template::parse(template).unwrap().render(&request()).unwrap();
    assert_eq!(made.body, "ok");
    assert_eq!(made.overrides.request.header, pairs(&[("X-New", "vprod")]));
    assert_eq!(made.overrides.request.path, pairs(&[("id", "5")]));
    assert_eq!(made.overrides.request.querystring, pairs(&[("q", "x")]));
    assert_eq!(made.overrides.response.status, Some(404));
    assert_eq!(made.overrides.response.header, pairs(&[("Location", "/a")]));
    // The answer's template starts from what the request's set, and may set it anew.
    let context = Context { overrides: made.overrides.clone(), ..request() };
    let again =
        Template::parse("#set($context.responseOverride.header.location = '/b')$context.requestOverride.path.id");
    let again = again.unwrap().render(&context).unwrap();
    assert_eq!(again.body, "5");
    assert_eq!(again.overrides.response.status, Some(404));
    assert_eq!(again.overrides.response.header, pairs(&[("Location", "/b")]));
    // A status that is none is ignored, recorded from the service.
    for status in ["99", "600", "'201'", "''", "[1]", "200.5"] {
        let template = Template::parse(&format!("#set($context.responseOverride.status = {status})")).unwrap();
        assert_eq!(template.render(&Context::default()).unwrap().overrides, Overrides::default(), "{status}");
    }
}

#[test]
fn collections_are_javas() {
    for (template, expected) in [
        (
            "#set($l = [3, 1])#set($x = $l.add(2))$l $l.contains(1) $l.contains('1') $l.indexOf(2) $l.remove(0) $l",
            "[3, 1, 2] true false 2 3 [1, 2]",
        ),
        (
            "#set($m = {})#set($x = $m.put('k', [1]))#set($x = $m.k.add({'a': 'b'}))$m $m.k[1].a $m.containsKey('k')",
            "{k=[1, {a=b}]} b true",
        ),
        (
            "#set($m = {'a': 1, 'b': 2})#foreach($e in $m.entrySet())$e.key=$e.value#if($foreach.hasNext)&#end#end",
            "a=1&b=2",
        ),
        (
            "#set($s = 'a-b_c')$s.replaceAll('[-_]', ' ') $s.split('-')[1] $s.toUpperCase() $s.matches('[a-c_-]+')",
            "a b c b_c A-B_C true",
        ),
        ("#set($i = 0)$i.parseInt('42')#set($d = 0.0) $d.parseDouble('4') $i.compareTo(1)", "42 4.0 -1"),
        ("#set($s = 'é𝄞x')$s.length() $s.indexOf('x') $s.substring(3) $s.charAt(0)", "4 3 x é"),
        ("#set($s = '')$s.join(',', ['a', 'b']) $s.valueOf(5) $s.length()", "a,b 5 0"),
    ] {
        assert_eq!(render(template, &Context::default()).as_deref(), Ok(expected), "{template}");
    }
}
