//! Route: which of an API's routes takes a request.
//!
//! In: routes, a method and a path. Out: the route and its variables, as they are in the path. Never: a decoded variable: API Gateway
//! hands them on as they came.

use crate::config::compiled::{RouteKey, RouteSegment};

/// A route that takes the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched<'a> {
    /// "GET /todos/{id}"; "$default" when the origin names no routes.
    pub key: &'a str,
    /// "/todos/{id}"; "/{proxy+}" for `$default`.
    pub resource: String,
    /// Name and value, in the order of the path.
    pub variables: Vec<(&'a str, String)>,
}

/// Full matches before greedy ones before `$default`; text before a variable, a method before ANY (API Gateway Developer Guide,
/// "Routing API requests"). `None`: no route takes it. Without routes everything is taken, with the path as `proxy`.
pub fn find<'a>(routes: &'a [RouteKey], method: &str, path: &str) -> Option<Matched<'a>> {
    if routes.is_empty() {
        let rest = path.trim_matches('/');
        let variables = if rest.is_empty() { vec![] } else { vec![("proxy", rest.to_owned())] };
        let resource = if rest.is_empty() { "/" } else { "/{proxy+}" };
        return Some(Matched { key: "$default", resource: resource.to_owned(), variables });
    }
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    // A "/" at the end is no part of its own.
    let parts = parts.strip_suffix(&[""]).unwrap_or(&parts);
    let best = routes
        .iter()
        .filter(|route| route.method.as_deref().is_none_or(|wanted| wanted == method))
        .filter_map(|route| Some((rank(route, parts)?, route)))
        .min_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, route)| route)?;
    Some(Matched { key: &best.text, resource: resource(best), variables: variables(best, parts) })
}

/// How a route takes these parts, less is better: greedy, part by part, any method. `None`: it does not.
fn rank(route: &RouteKey, parts: &[&str]) -> Option<(u8, Vec<u8>, bool)> {
    let any = route.method.is_none();
    let Some(segments) = &route.segments else { return Some((2, vec![], true)) };
    let mut ranks = Vec::with_capacity(segments.len());
    let mut left = parts.iter();
    for segment in segments {
        match segment {
            RouteSegment::Text(text) if left.next()? == text => ranks.push(0),
            RouteSegment::Text(_) => return None,
            RouteSegment::One(_) => {
                left.next().filter(|part| !part.is_empty())?;
                ranks.push(1);
            }
            RouteSegment::Rest(_) => {
                left.next()?;
                ranks.push(2);
                return Some((1, ranks, any));
            }
        }
    }
    left.next().is_none().then_some((0, ranks, any))
}

fn resource(route: &RouteKey) -> String {
    let Some(segments) = &route.segments else { return "/{proxy+}".to_owned() };
    let part = |segment: &RouteSegment| match segment {
        RouteSegment::Text(text) => format!("/{text}"),
        RouteSegment::One(name) => format!("/{{{name}}}"),
        RouteSegment::Rest(name) => format!("/{{{name}+}}"),
    };
    match segments[..] {
        [] => "/".to_owned(),
        _ => segments.iter().map(part).collect(),
    }
}

fn variables<'a>(route: &'a RouteKey, parts: &[&str]) -> Vec<(&'a str, String)> {
    let segments = route.segments.iter().flatten().enumerate();
    segments
        .filter_map(|(i, segment)| match segment {
            RouteSegment::Text(_) => None,
            RouteSegment::One(name) => Some((name.as_str(), (*parts.get(i)?).to_owned())),
            RouteSegment::Rest(name) => Some((name.as_str(), parts.get(i..)?.join("/"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> RouteKey {
        let Some((method, path)) = text.split_once(' ') else {
            return RouteKey { text: text.into(), method: None, segments: None };
        };
        let segments = path.split('/').skip(1).filter(|part| !part.is_empty());
        let segments = segments.map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            None => RouteSegment::Text(part.into()),
            Some(name) => match name.strip_suffix('+') {
                Some(name) => RouteSegment::Rest(name.into()),
                None => RouteSegment::One(name.into()),
            },
        });
        let segments = Some(segments.collect());
        RouteKey { text: text.into(), method: (method != "ANY").then(|| method.into()), segments }
    }

    /// The examples of "Routing API requests", and what the reference adds.
    #[test]
    fn the_most_particular_route_takes_the_request() {
        let routes = [
            "$default",
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "GET /pets/dog/1",
            "GET /pets/dog/{id}",
            "GET /pets/{kind}/{id}",
            "ANY /pets/{kind}/{id}",
            "GET /",
            "GET /full/{proxy+}",
            "GET /{a}/{b}",
        ]
        .map(route);
        /// Method, path, route, variables.
        type Case<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)]);
        let table: &[Case<'_>] = &[
            ("GET", "/pets/dog/1", "GET /pets/dog/1", &[]),
            ("GET", "/pets/dog/1/", "GET /pets/dog/1", &[]),
            ("GET", "/pets/dog/2", "GET /pets/dog/{id}", &[("id", "2")]),
            ("GET", "/pets/cat/2", "GET /pets/{kind}/{id}", &[("kind", "cat"), ("id", "2")]),
            ("POST", "/pets/cat/2", "ANY /pets/{kind}/{id}", &[("kind", "cat"), ("id", "2")]),
            ("GET", "/full/1", "GET /{a}/{b}", &[("a", "full"), ("b", "1")]),
            ("GET", "/pets/cat", "GET /{a}/{b}", &[("a", "pets"), ("b", "cat")]),
            ("GET", "/pets/a/b/c", "GET /pets/{proxy+}", &[("proxy", "a/b/c")]),
            ("DELETE", "/pets/cat", "ANY /{proxy+}", &[("proxy", "pets/cat")]),
            ("GET", "/a%2Fb@c+d", "ANY /{proxy+}", &[("proxy", "a%2Fb@c+d")]),
            ("GET", "/", "GET /", &[]),
            ("POST", "/", "$default", &[]),
        ];
        for (method, path, key, variables) in table {
            let found = find(&routes, method, path).unwrap_or_else(|| panic!("{method} {path}"));
            let names: Vec<_> = found.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!((found.key, names.as_slice()), (*key, *variables), "{method} {path}");
        }
    }

    #[test]
    fn what_no_route_takes_is_not_found() {
        let routes = ["GET /todos", "GET /todos/{id}", "POST /files/{path+}"].map(route);
        for (method, path) in
            [("POST", "/todos"), ("GET", "/todos//"), ("GET", "/todos/1/2"), ("POST", "/files"), ("GET", "/")]
        {
            assert_eq!(find(&routes, method, path), None, "{method} {path}");
        }
        // The greedy variable keeps what is inside.
        let found = find(&routes, "POST", "/files/a//b/").unwrap();
        assert_eq!(found.variables, [("path", "a//b".to_owned())]);
    }

    #[test]
    fn without_routes_everything_is_taken() {
        let found = find(&[], "GET", "/a/b/").unwrap();
        assert_eq!((found.key, found.resource.as_str()), ("$default", "/{proxy+}"));
        assert_eq!(found.variables, [("proxy", "a/b".to_owned())]);
        assert_eq!(find(&[], "GET", "/").unwrap().variables, []);
    }
}
