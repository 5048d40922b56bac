//! HELP texts: the meaning of a metric from the catalog, and what each provider calls it.

use std::collections::BTreeMap;

use crate::metrics::catalog::Family;

/// Name of a metric's field in a provider's documents, such as `Easemob successCount`.
pub type HelpFragment = (Family, &'static str);

/// HELP texts of all metrics.
#[derive(Clone, Debug, Default)]
pub struct HelpTexts(BTreeMap<Family, String>);

impl HelpTexts {
    /// Inserts the fragments of the providers, in their order, into the texts of the catalog.
    pub fn new(fragments: impl IntoIterator<Item = HelpFragment>) -> HelpTexts {
        let mut of_family: BTreeMap<Family, Vec<&str>> = BTreeMap::new();
        for (family, fragment) in fragments {
            of_family.entry(family).or_default().push(fragment);
        }
        let text = |family: &Family| {
            let fields = of_family.get(family).map_or_else(String::new, |fields| format!(" ({})", fields.join("; ")));
            (*family, family.help().replace("{providers}", &fields))
        };
        HelpTexts(Family::ALL.iter().map(text).collect())
    }

    /// Returns the HELP text of a metric.
    pub fn of(&self, family: Family) -> &str {
        self.0.get(&family).map_or(family.help(), String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_providers_stand_in_parentheses() {
        let texts = HelpTexts::new([(Family::Failed, "A failed"), (Family::Failed, "B refused")]);
        assert_eq!(
            texts.of(Family::Failed),
            "Deliveries refused by the channel (A failed; B refused). Polled and cached."
        );
        assert!(texts.of(Family::Clicked).starts_with("Deliveries that were clicked. "));
        assert!(Family::ALL.iter().all(|family| !texts.of(*family).contains('{')));
    }
}
