//! Csv: keys as API Gateway's import takes them.
//!
//! In: the file's text. Out: one row a key, or the line that is wrong. Never: a value in an error.
//!
//! API Gateway, "API key file format": a line of column names, in any order and case: `Name` and `key` must be there,
//! `description`, `Enabled` and `usageplanIds` may. Quoting as in RFC 4180.

/// One key of the file.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// From 1.
    pub line: usize,
    pub value: String,
    pub name: String,
    pub enabled: bool,
    pub plans: Vec<String>,
}

/// The line on which a record begins, and its cells.
type Record = (usize, Vec<String>);

/// The line that is wrong, and why.
pub type Wrong = (usize, String);

/// Lines are counted from 1.
pub fn keys(text: &str) -> Result<Vec<Row>, Wrong> {
    let mut records = records(text.trim_start_matches('\u{feff}'))?.into_iter();
    let (line, head) = records.next().ok_or((1, "there is no line of column names".to_owned()))?;
    let column = |name: &str| head.iter().position(|title| title.trim().eq_ignore_ascii_case(name));
    let needed = |name: &str| column(name).ok_or((line, format!("there is no column {name:?} in the first line")));
    let (key, name) = (needed("key")?, needed("name")?);
    let (enabled, plans) = (column("enabled"), column("usageplanIds"));
    let mut rows = Vec::new();
    for (line, record) in records {
        let cell = |at: usize| record.get(at).map_or("", |cell| cell.trim());
        if record.len() > head.len() {
            return Err((line, format!("{} columns, but the first line names {}", record.len(), head.len())));
        }
        let (value, name) = (cell(key), cell(name));
        if value.is_empty() || name.is_empty() {
            return Err((line, "a key needs its value and a name".to_owned()));
        }
        let enabled = match enabled.map_or("", cell).to_ascii_lowercase().as_str() {
            "" | "true" => true,
            "false" => false,
            other => return Err((line, format!("enabled is TRUE or FALSE, not {other:?}"))),
        };
        let plans = plans.map_or("", cell).split(',').map(str::trim).filter(|id| !id.is_empty());
        let plans = plans.map(str::to_owned).collect();
        rows.push(Row { line, value: value.to_owned(), name: name.to_owned(), enabled, plans });
    }
    Ok(rows)
}

/// Records with the line on which each begins; empty lines are none.
fn records(text: &str) -> Result<Vec<Record>, Wrong> {
    let (mut records, mut record, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begins, mut quoted) = (1, 1, None);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, quoted) {
            ('"', Some(_)) if chars.peek() == Some(&'"') => cell.extend(chars.next()),
            ('"', Some(_)) => quoted = None,
            ('"', None) if cell.trim().is_empty() => {
                cell.clear();
                quoted = Some(line);
            }
            (',', None) => record.push(std::mem::take(&mut cell)),
            ('\n', None) => {
                record.push(std::mem::take(&mut cell));
                keep(&mut records, begins, std::mem::take(&mut record));
                line += 1;
                begins = line;
            }
            ('\r', None) if chars.peek() == Some(&'\n') => {}
            (char, _) => {
                line += usize::from(char == '\n');
                cell.push(char);
            }
        }
    }
    if let Some(line) = quoted {
        return Err((line, "a quote is not closed".to_owned()));
    }
    record.push(cell);
    keep(&mut records, begins, record);
    Ok(records)
}

fn keep(records: &mut Vec<Record>, line: usize, record: Vec<String>) {
    if record.iter().any(|cell| !cell.trim().is_empty()) {
        records.push((line, record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_as_in_the_documentation() {
        let text = "\u{feff}Name,key,description,Enabled,usageplanIds\r\n\
            MyFirstApiKey,apikey1234abcdefghij0123456789,An imported key,TRUE,c7y23b\r\n\r\n\
            \"My \"\"second\"\", key\",apikey2345abcdefghij0123456789,\"two\nlines\",FALSE,\"a, b\"\r\n\
            third,apikey3456abcdefghij0123456789";
        let rows = keys(text).unwrap_or_default();
        let got: Vec<_> = rows.iter().map(|row| (row.line, &*row.name, row.enabled, row.plans.join("+"))).collect();
        let want = [
            (2, "MyFirstApiKey", true, "c7y23b".to_owned()),
            (4, "My \"second\", key", false, "a+b".to_owned()),
            (6, "third", true, String::new()),
        ];
        assert_eq!(got, want);
        assert_eq!(rows[1].value, "apikey2345abcdefghij0123456789");
    }

    #[test]
    fn what_is_wrong() {
        for (text, line, says) in [
            ("", 1, "no line of column names"),
            ("name,description\na,b", 1, "no column \"key\""),
            ("key,name\nsecret,", 2, "a name"),
            ("key,name\n\nsecret,a,x", 3, "3 columns"),
            ("key,name,enabled\nsecret,a,yes", 2, "TRUE or FALSE"),
            ("key,name\nsecret,\"a\nb", 2, "not closed"),
        ] {
            let Err((at, reason)) = keys(text) else { panic!("{text}") };
            assert!(at == line && reason.contains(says) && !reason.contains("secret"), "{text}: {at} {reason}");
        }
    }
}
