//! Advice for operators in English and Chinese, and the language that a reader gets.

use serde::Serialize;

/// One or two sentences that say what to do about a failure, in both languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// English text.
    #[serde(rename = "advice")]
    pub en: &'static str,
    /// Chinese text.
    #[serde(rename = "advice_zh")]
    pub zh: &'static str,
}

impl Advice {
    /// Returns the text in one language.
    pub fn text(self, language: Language) -> &'static str {
        match language {
            Language::English => self.en,
            Language::Chinese => self.zh,
        }
    }
}

/// Language of the advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English, the default.
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// Returns the language tag for HTML.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh-CN",
        }
    }

    /// Returns the language of a tag (`zh-Hans-CN`) or a locale (`zh_CN.UTF-8`); `None` if there is no advice in it.
    pub fn from_tag(tag: &str) -> Option<Language> {
        match tag.split(['-', '_', '.', '@']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "zh" => Some(Language::Chinese),
            "en" => Some(Language::English),
            _ => None,
        }
    }

    /// Returns the language of the terminal: that of the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that `variable`
    /// has a value for, as POSIX defines it.
    pub fn of_terminal(variable: impl Fn(&str) -> Option<String>) -> Language {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
        locale.and_then(|locale| Language::from_tag(&locale)).unwrap_or(Language::English)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides() {
        for (variables, language) in [
            (&[][..], Language::English),
            (&[("LANG", "zh_CN.UTF-8")], Language::Chinese),
            (&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "")], Language::Chinese),
            (&[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C.UTF-8")], Language::English),
            (&[("LANG", "en_US.UTF-8"), ("LC_MESSAGES", "zh_TW")], Language::Chinese),
            (&[("LANG", "de_DE.UTF-8")], Language::English),
            (&[("LANG", "zha")], Language::English),
        ] {
            let value = |name: &str| {
                variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(Language::of_terminal(value), language, "{variables:?}");
        }
    }
}
