//! Reading the files that a configuration names, each with a limit on its length: a device never ends.

use std::io::{self, Read};
use std::path::Path;

/// Longer than any configuration, certificate bundle or secret.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The contents of a file.
///
/// # Errors
/// A file that is not there, cannot be read, or is longer than 8 MiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is longer than 8 MiB"));
    }
    Ok(bytes)
}

/// The contents of a text file.
///
/// # Errors
/// The same, or text that is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_refused() {
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("longer than 8 MiB"));
        assert!(read_text(Path::new("/nowhere")).is_err());
    }
}
