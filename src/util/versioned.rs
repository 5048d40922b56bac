//! Encoding of the state that is kept between polls and over restarts: JSON with the version of the encoding.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    state: &'a T,
}

#[derive(Deserialize)]
struct Stored<T> {
    state: T,
}

/// A stored state that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// Not JSON, or not of the expected shape.
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Written by another release.
    #[error("its version is {0}, and this release reads {VERSION}")]
    Version(u32),
}

/// Returns the stored form of a state.
///
/// # Errors
/// A state that JSON cannot hold.
pub(crate) fn encode<T: Serialize>(state: &T) -> Result<String, StateError> {
    Ok(serde_json::to_string(&Written { version: VERSION, state })?)
}

/// Reads a stored form; an empty one is the default state.
///
/// # Errors
/// A text that [`encode`] of this version did not write.
pub(crate) fn decode<T: DeserializeOwned + Default>(text: &str) -> Result<T, StateError> {
    if text.is_empty() {
        return Ok(T::default());
    }
    #[derive(Deserialize)]
    struct VersionOnly {
        version: u32,
    }
    // The version is read first, because the form of other versions is unknown.
    let VersionOnly { version } = serde_json::from_str(text)?;
    if version != VERSION {
        return Err(StateError::Version(version));
    }
    let Stored { state } = serde_json::from_str(text)?;
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_stored_with_their_version() {
        assert_eq!(encode(&vec![1, 2]).unwrap(), r#"{"version":1,"state":[1,2]}"#);
        assert_eq!(decode::<Vec<i32>>(r#"{"version":1,"state":[1,2]}"#).unwrap(), [1, 2]);
        assert!(decode::<Vec<i32>>("").unwrap().is_empty());
        for (text, error) in [
            (r#"{"version":2,"state":{"other":1}}"#, "its version is 2"),
            (r#"{"version":1,"state":"x"}"#, "it is damaged"),
            (r#"{"state":[1]}"#, "it is damaged"),
            ("[1", "it is damaged"),
        ] {
            let said = decode::<Vec<i32>>(text).unwrap_err().to_string();
            assert!(said.starts_with(error), "{text}: {said}");
        }
    }
}
