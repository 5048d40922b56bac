//! Configuration keys of an app under `feishu`.

use reqwest::Url;

use crate::config::secret::Secret;
use crate::config::section::Section;
use crate::model::window::Unit;

/// Settings of one Feishu app.
#[derive(Clone, Debug)]
pub struct FeishuSettings {
    /// Id of the app: `cli_…`.
    pub app_id: String,
    /// Secret of the app.
    pub app_secret: Secret,
    /// Host of Feishu or Lark, or of a gateway in front of them.
    pub base_url: Url,
    /// Windows that are shown as gauges; days are always polled.
    pub windows: Vec<Unit>,
    /// Type of the department ids: `open_department_id` or `department_id`.
    pub department_id_type: &'static str,
    /// Departments to show in addition to the tenant.
    pub departments: Vec<String>,
}

const FEISHU: &str = "https://open.feishu.cn";
/// Windows that `cycle_type` supports.
const WINDOWS: [(&str, Unit); 3] = [("day", Unit::Day), ("week", Unit::Week), ("month", Unit::Month)];
const ID_TYPES: [&str; 2] = ["open_department_id", "department_id"];

impl FeishuSettings {
    /// Reads the keys; `None` after an error was reported.
    pub fn read(section: &mut Section<'_>) -> Option<FeishuSettings> {
        let app_id = section.required_identifier("app_id");
        let app_secret = section.secret("app_secret");
        let base_url = section.base_url_or("base_url", FEISHU);
        let base_url = match (&base_url, section.find("base_url")) {
            (Some(url), Some(found)) if url.path().trim_end_matches('/').ends_with("/open-apis") => {
                let message = "must not hold /open-apis, which is added to it; write the host alone";
                section.context().error(found.place, &found.path, message);
                None
            }
            _ => base_url,
        };
        let windows = match section.find("windows") {
            Some(_) => section.choices("windows", &WINDOWS),
            None => Some(vec![Unit::Day, Unit::Week, Unit::Month]),
        };
        let id_type = match section.text("department_id_type") {
            None => Some(ID_TYPES[0]),
            Some((found, text)) => {
                let id_type = ID_TYPES.into_iter().find(|known| *known == text);
                if id_type.is_none() {
                    let message = format!("must be {}", ID_TYPES.join(" or "));
                    section.context().error(found.place, &found.path, message);
                }
                id_type
            }
        };
        let departments = section.distinct("departments", |id| id);
        Some(FeishuSettings {
            app_id: app_id?,
            app_secret: app_secret?,
            base_url: base_url?,
            windows: windows?,
            department_id_type: id_type?,
            departments,
        })
    }
}
