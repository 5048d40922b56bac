//! libpq's password file: lines of `host:port:database:user:password`, of which the first that fits counts.

use std::path::Path;

/// Connection that a password is for.
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// Returns the password of a file; `None` if it has none, or others may read the file, which libpq does not accept.
#[expect(clippy::disallowed_methods, reason = "runs on a blocking thread")]
pub(super) fn read(path: &Path, wanted: &Wanted<'_>) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok().filter(|metadata| metadata.is_file())?;
    if metadata.mode() & 0o077 != 0 {
        tracing::warn!(
            file = path.display().to_string(),
            "ignoring a password file that others can read; run chmod 0600"
        );
        return None;
    }
    find(&std::fs::read_to_string(path).ok()?, wanted)
}

fn find(text: &str, wanted: &Wanted<'_>) -> Option<String> {
    let port = wanted.port.to_string();
    let keys = [wanted.host, &port, wanted.database, wanted.user];
    let line = |line: &str| {
        let fields = split(line);
        let is_it = fields.len() == 5 && keys.iter().zip(&fields).all(|(key, field)| field == "*" || field == key);
        is_it.then(|| fields.into_iter().next_back()).flatten()
    };
    text.lines().filter(|line| !line.starts_with('#')).find_map(line)
}

/// Splits a line at colons; a backslash escapes the next character.
fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_escaped = false;
    for c in line.chars() {
        match c {
            '\\' if !is_escaped => {
                is_escaped = true;
                continue;
            }
            ':' if !is_escaped && fields.len() < 5 => fields.push(String::new()),
            c => fields.last_mut().into_iter().for_each(|field| field.push(c)),
        }
        is_escaped = false;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# comment\ndb2:5432:push:push:wrong\n*:*:push:push:a\\:b\ndb1:5432:push:push:late\n";
        let wanted = Wanted { host: "db1", port: 5432, database: "push", user: "push" };
        assert_eq!(find(text, &wanted).as_deref(), Some("a:b"));
        assert_eq!(find(text, &Wanted { user: "other", ..wanted }), None);
        // A backslash and a colon of the password are escaped; more colons are part of it, as libpq reads it.
        assert_eq!(find("*:*:*:*:a\\\\b\\\\\\:c", &wanted).as_deref(), Some("a\\b\\:c"));
        assert_eq!(find("*:*:*:*:a:b", &wanted).as_deref(), Some("a:b"));
    }
}
