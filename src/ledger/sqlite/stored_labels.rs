//! Stored form of a series' labels: a JSON list of names and values.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::metrics::labels::Labels;

/// Labels in their stored form.
pub(super) struct StoredLabels(pub(super) Labels);

impl ToSql for StoredLabels {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text =
            serde_json::to_string(&self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(ToSqlOutput::from(text))
    }
}

impl FromSql for StoredLabels {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<StoredLabels> {
        let labels = serde_json::from_str(value.as_str()?).map_err(|error| FromSqlError::Other(error.into()))?;
        Ok(StoredLabels(labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_stored_as_pairs() {
        let labels = Labels::new(&[("platform", "android"), ("channel", "fcm")]);
        let stored = StoredLabels(labels.clone());
        let ToSqlOutput::Owned(rusqlite::types::Value::Text(text)) = stored.to_sql().unwrap() else { panic!() };
        assert_eq!(text, r#"[["platform","android"],["channel","fcm"]]"#);
        assert_eq!(StoredLabels::column_result(ValueRef::Text(text.as_bytes())).unwrap().0, labels);
        assert!(StoredLabels::column_result(ValueRef::Text(br#"platform="android""#)).is_err());
    }
}
