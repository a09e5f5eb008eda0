//! Parts of URLs, as Java's `URL` takes them apart.

use std::borrow::Cow;

use super::{
    Function,
    arguments::{count, text},
    text::makes_text,
};
use crate::{
    bind::Bound,
    types::{STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[Function {
    names: &["PARSE_URL"],
    doc: "PARSE_URL(url, 'HOST' | 'PATH' | 'QUERY' | 'REF' | 'PROTOCOL' | 'AUTHORITY' | 'FILE' | 'USERINFO' [, key])",
    bind: parse_url,
}];

/// What is no URL has no parts: NULL.
fn parse_url(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=3)?;
    let with_key = arguments.len() == 3;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(makes_text(name, String::new(), arguments, Type::nullable(STRING), move |rows, row| {
        let (url, part) = (rows.text(0, row)?, rows.text(1, row)?);
        if with_key {
            let key = rows.text(2, row)?;
            return match part {
                "QUERY" => value(Url::parse(url)?.query?, key).map(Cow::Borrowed),
                _ => None,
            };
        }
        Url::parse(url)?.part(part)
    }))
}

#[derive(Debug, PartialEq)]
struct Url<'a> {
    /// In small letters.
    protocol: String,
    authority: Option<&'a str>,
    user: Option<&'a str>,
    host: &'a str,
    path: Cow<'a, str>,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// `None` for what Java has no handler for.
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_matches(|character| character <= ' ');
        let (protocol, rest) = text.split_once(':')?;
        let protocol = protocol.to_ascii_lowercase();
        if !matches!(protocol.as_str(), "http" | "https" | "ftp" | "file" | "mailto") {
            return None;
        }
        let (rest, reference) = split(rest, '#');
        if protocol == "mailto" {
            let (authority, user, query) = (None, None, None);
            let path = rest.into();
            return Some(Self { protocol, authority, user, host: "", path, query, reference });
        }
        let (rest, query) = split(rest, '?');
        let Some(behind) = rest.strip_prefix("//") else {
            let (authority, user) = (None, None);
            let path = rest.into();
            return Some(Self { protocol, authority, user, host: "", path, query, reference });
        };
        let (authority, path) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
        let (user, host) = match authority.matches('@').count() {
            0 => (None, authority),
            1 => authority.split_once('@').map(|(user, host)| (Some(user), host))?,
            _ => (None, ""),
        };
        let host = host_of(host)?;
        let (authority, path) = (Some(authority), path.into());
        Some(Self { protocol, authority, user, host, path, query, reference })
    }

    fn part(self, name: &str) -> Option<Cow<'a, str>> {
        Some(match name {
            "HOST" => self.host.into(),
            "PATH" => self.path,
            "QUERY" => self.query?.into(),
            "REF" => self.reference?.into(),
            "PROTOCOL" => self.protocol.into(),
            "AUTHORITY" => self.authority?.into(),
            "USERINFO" => self.user?.into(),
            "FILE" => match self.query {
                Some(query) => format!("{}?{query}", self.path).into(),
                None => self.path,
            },
            _ => return None,
        })
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(text, behind)| (text, Some(behind)))
}

/// The host in front of a port, which must be a number or nothing; one in brackets has colons of its own.
fn host_of(text: &str) -> Option<&str> {
    let end = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at_checked(end)?;
    let is_port = match port.strip_prefix(':') {
        Some(port) => port.is_empty() || port.parse::<i32>().is_ok_and(|port| port >= -1),
        None => port.is_empty(),
    };
    is_port.then_some(host)
}

/// The value of a key in `a=1&b=2`.
fn value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_the_parts_that_java_finds() {
        let parts = |text| {
            let url = Url::parse(text)?;
            Some((url.authority, url.user, url.host, url.query, url.reference))
        };
        assert_eq!(
            parts("http://u:p@h.org:80/a?k=v#r"),
            Some((Some("u:p@h.org:80"), Some("u:p"), "h.org", Some("k=v"), Some("r")))
        );
        assert_eq!(parts("http://[::1]:8/a"), Some((Some("[::1]:8"), None, "[::1]", None, None)));
        assert_eq!(parts("http://h:x/a"), None);
        assert_eq!(parts("http://[::1/a"), None);
        assert_eq!(parts("gopher://h/a"), None);
        assert_eq!(value("ab=1&b=2=3", "b"), Some("2=3"));
        assert_eq!(value("a=1", "b"), None);
    }
}
