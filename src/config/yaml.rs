//! The configuration as written: YAML as a tree of positions, lists, keys and uninterpreted scalars. A scalar keeps its
//! text, since `7431e42` may be a key and not a float.

use granit_parser::{Event, Parser, ScalarStyle};

/// A position in a file, for error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line number, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The beginning of a file.
    pub const START: Place = Place { line: 1, column: 1 };
}

/// A YAML node and its position.
#[derive(Clone, Debug)]
pub struct Node {
    /// Position at which the node starts.
    pub place: Place,
    /// Scalar, list or mapping.
    pub value: Value,
}

/// The value of a node.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value: `key:` without a value, `~` or `null`.
    Nothing,
    /// Any other scalar as written.
    Text {
        /// Text without quotes.
        text: String,
        /// False for a quoted or block scalar, which is never a number or a boolean.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in written order, with the position of each key; keys may repeat.
    Map(Vec<(Place, String, Node)>),
}

impl Node {
    /// Appends a canonical text of the node, without positions.
    pub fn write(&self, out: &mut String) {
        match &self.value {
            Value::Nothing => out.push_str("~,"),
            Value::Text { text, plain } => out.push_str(&format!("{text:?}{plain},")),
            Value::List(items) => {
                out.push('[');
                items.iter().for_each(|item| item.write(out));
                out.push(']');
            }
            Value::Map(pairs) => {
                out.push('{');
                write_pairs(pairs, out);
                out.push('}');
            }
        }
    }
}

/// Appends a canonical text of the pairs of a mapping, without positions.
pub fn write_pairs(pairs: &[(Place, String, Node)], out: &mut String) {
    for (_, name, node) in pairs {
        out.push_str(&format!("{name:?}:"));
        node.write(out);
    }
}

impl Value {
    /// Returns true for a missing value or an empty string.
    pub fn is_blank(&self) -> bool {
        match self {
            Value::Nothing => true,
            Value::Text { text, .. } => text.is_empty(),
            Value::List(_) | Value::Map(_) => false,
        }
    }

    /// Returns the name of the kind of value, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nothing => "nothing",
            Value::Text { text, plain } => match text.as_str() {
                "true" | "false" if *plain => "a boolean",
                text if *plain && text.parse::<f64>().is_ok() => "a number",
                _ => "a text",
            },
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Error of a text that is not YAML, or is YAML that configurations do not support.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Position of the error.
    pub place: Place,
    /// Reason, without quoting the text, which may hold secrets.
    pub message: String,
}

/// Maximum nesting depth of lists and mappings; the configuration itself needs four.
const MAX_DEPTH: usize = 32;

/// Parses one YAML document; returns `None` if it is empty.
///
/// # Errors
/// Fails if the text is not YAML, has tabs in the indentation, holds several documents, anchors or aliases, or has keys
/// that are not scalars.
pub fn parse(text: &str) -> Result<Option<Node>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    tabs(text)?;
    let mut builder = Builder { open: Vec::new(), root: None };
    let mut documents = 0;
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| SyntaxError {
            place: Place { line: error.marker().line(), column: error.marker().col() + 1 },
            message: format!("not valid YAML: {}", error.info()),
        })?;
        let place = Place { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(SyntaxError { place, message: "a second YAML document; only one is read".into() });
                }
            }
            Event::Scalar(text, style, 0, _) => builder.node(place, scalar(&text, style))?,
            Event::SequenceStart(_, 0, _) => builder.start(place, Value::List(Vec::new()))?,
            Event::MappingStart(_, 0, _) => builder.start(place, Value::Map(Vec::new()))?,
            Event::SequenceEnd | Event::MappingEnd => builder.end()?,
            Event::Alias(_) | Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                return Err(SyntaxError { place, message: "anchors and aliases are not supported".into() });
            }
            _ => {}
        }
    }
    Ok(builder.root.filter(|root| !matches!(root.value, Value::Nothing)))
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    match text {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Nothing,
        _ => Value::Text { text: text.to_owned(), plain },
    }
}

/// Rejects tabs in indentation: YAML forbids them, but parsers differ in their handling.
fn tabs(text: &str) -> Result<(), SyntaxError> {
    let text = text.replace("\r\n", "\n");
    for (index, line) in text.split(['\n', '\r']).enumerate() {
        let indentation = line.chars().take_while(|c| *c == ' ' || *c == '\t');
        if let Some(column) = indentation.into_iter().position(|c| c == '\t')
            && !line.trim().is_empty()
        {
            return Err(SyntaxError {
                place: Place { line: index + 1, column: column + 1 },
                message: "a tab in the indentation; use spaces".into(),
            });
        }
    }
    Ok(())
}

struct Builder {
    open: Vec<(Node, Option<(Place, String)>)>,
    root: Option<Node>,
}

impl Builder {
    fn start(&mut self, place: Place, value: Value) -> Result<(), SyntaxError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(SyntaxError { place, message: "nested too deeply".into() });
        }
        if let Some((Node { value: Value::Map(_), .. }, None)) = self.open.last() {
            return Err(SyntaxError { place, message: "a key must be a text".into() });
        }
        self.open.push((Node { place, value }, None));
        Ok(())
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        match self.open.pop() {
            Some((node, _)) => self.node(node.place, node.value),
            None => Ok(()),
        }
    }

    /// Adds a finished node to its parent: to the list, as the value of the pending key, or as the key itself.
    fn node(&mut self, place: Place, value: Value) -> Result<(), SyntaxError> {
        let Some((parent, key)) = self.open.last_mut() else {
            self.root = Some(Node { place, value });
            return Ok(());
        };
        match (&mut parent.value, key.take()) {
            (Value::List(items), _) => items.push(Node { place, value }),
            (Value::Map(pairs), Some((key_place, name))) => pairs.push((key_place, name, Node { place, value })),
            (Value::Map(_), None) => match value {
                Value::Text { text, .. } => *key = Some((place, text)),
                _ => return Err(SyntaxError { place, message: "a key must be a text".into() }),
            },
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_places_and_text() {
        let root = parse("a: 1\nlist:\n  - 7431e42\n  - \"5\"\nempty:\n").unwrap().unwrap();
        let Value::Map(pairs) = root.value else { panic!() };
        assert_eq!(pairs[0].0, Place { line: 1, column: 1 });
        assert_eq!(pairs[0].2.place, Place { line: 1, column: 4 });
        let Value::List(items) = &pairs[1].2.value else { panic!() };
        assert!(matches!(&items[0].value, Value::Text { text, plain: true } if text == "7431e42"));
        assert_eq!(items[1].value.kind(), "a text");
        assert_eq!(items[1].place, Place { line: 4, column: 5 });
        assert!(matches!(pairs[2].2.value, Value::Nothing));
    }

    #[test]
    fn refuses_what_loads_as_nothing() {
        for (text, line, column, message) in [
            ("a:\n\tb: 1\n", 2, 1, "a tab in the indentation; use spaces"),
            ("a: &x 1\nb: *x\n", 1, 7, "anchors and aliases are not supported"),
            ("a: 1\n---\nb: 1\n", 2, 1, "a second YAML document; only one is read"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.place, error.message.as_str()), (Place { line, column }, message), "{text:?}");
        }
        for nothing in ["", "# only a comment\n", "~\n", "---\n"] {
            assert!(parse(nothing).unwrap().is_none(), "{nothing:?}");
        }
        assert!(parse("a: [1\n").unwrap_err().message.starts_with("not valid YAML: "));
        assert!(parse(&"[".repeat(1000)).is_err());
    }
}
