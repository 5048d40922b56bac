//! Proxy variables of the environment. The HTTP library ignores invalid values, and credentials would then be sent
//! directly where an operator requires a proxy; so the variables are checked before anything is sent.

use std::ffi::OsString;

use http::Uri;

/// Variables by scheme; the name that the HTTP library prefers comes first.
const VARIABLES: [[&str; 2]; 2] = [["HTTPS_PROXY", "https_proxy"], ["HTTP_PROXY", "http_proxy"]];
/// Variables that apply where one of those is unset or empty.
const OTHERWISE: [&str; 2] = ["ALL_PROXY", "all_proxy"];

/// Error of an invalid proxy variable. Its value may contain a password and is not quoted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {0} {1}")]
pub struct ProxyError(&'static str, &'static str);

/// Checks the proxy variables.
///
/// # Errors
/// Fails if the HTTP library would ignore one of them.
pub(super) fn check(variable: impl Fn(&str) -> Option<OsString>) -> Result<(), ProxyError> {
    // Under CGI a client could set the variable of the proxy, so the HTTP library uses none.
    if variable("REQUEST_METHOD").is_some() {
        return Ok(());
    }
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
    for names in VARIABLES {
        let named = first(names).filter(|(_, value)| !value.is_empty());
        if let Some((name, value)) = named.or_else(|| first(OTHERWISE)) {
            check_value(&value).map_err(|what| ProxyError(name, what))?;
        }
    }
    Ok(())
}

/// Returns true if the environment sets a proxy.
pub(super) fn is_set(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let names = VARIABLES.iter().chain([&OTHERWISE]).flatten();
    variable("REQUEST_METHOD").is_none() && names.filter_map(|name| variable(name)).any(|value| !value.is_empty())
}

fn check_value(value: &OsString) -> Result<(), &'static str> {
    const NO_URL: &str = "is not a proxy URL; set it to http://host:port or http://user:password@host:port (with special \
                          characters of the password percent-encoded, such as %40 for @), or unset it";
    let value = value.to_str().ok_or(NO_URL)?;
    if value.is_empty() {
        return Ok(());
    }
    let uri: Uri = value.parse().map_err(|_| NO_URL)?;
    let authority = uri.authority().ok_or(NO_URL)?;
    let is_host = !authority.host().is_empty() && authority.as_str().matches('@').count() <= 1;
    let has_port = authority.as_str().rsplit('@').next().is_some_and(|host| match host.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') => port.parse::<u16>().is_ok(),
        _ => true,
    });
    match uri.scheme_str() {
        _ if !is_host || !has_port => Err(NO_URL),
        None | Some("http" | "https") => Ok(()),
        Some(scheme) if scheme.starts_with("socks") => {
            Err("names a SOCKS proxy, which is not supported; set it to an HTTP proxy, or unset it")
        }
        Some(_) => Err(NO_URL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Result<(), ProxyError> {
        check(|name| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn what_names_a_proxy_is_taken() {
        for value in [
            "",
            "http://proxy:3128",
            "http://proxy",
            "https://user:p%40ss@proxy.corp:3128/",
            "proxy.corp:3128",
            "10.0.0.1:8080",
            "http://[::1]:3128",
            "http://[::1]",
        ] {
            assert_eq!(said(&[("HTTPS_PROXY", value)]), Ok(()), "{value}");
        }
        assert_eq!(said(&[]), Ok(()));
        assert_eq!(said(&[("HTTP_PROXY", ":"), ("REQUEST_METHOD", "GET")]), Ok(()), "not used under CGI");
        assert_eq!(said(&[("HTTPS_PROXY", ""), ("https_proxy", ":")]), Ok(()), "the first name takes precedence");
    }

    #[test]
    fn what_the_library_would_pass_over_is_an_error() {
        for value in [
            "http://",
            "http://proxy:port",
            "http://user:p#ss@proxy:3128",
            "http://user:p@ss@proxy:3128",
            "http:proxy:3128",
            "http://proxy:99999",
            "ftp://proxy:21",
            "/proxy",
            "proxy corp:3128",
        ] {
            for name in ["HTTPS_PROXY", "http_proxy", "all_proxy"] {
                let error = said(&[(name, value)]).expect_err(value).to_string();
                assert!(error.starts_with(&format!("the environment variable {name} is not a proxy URL")), "{error}");
                assert!(!error.contains("p#ss"), "{error}");
            }
        }
        let socks = ("ALL_PROXY", "socks5h://proxy:1080");
        let [https, http] = ["HTTPS_PROXY", "http_proxy"].map(|name| (name, "http://proxy:3128"));
        assert_eq!(said(&[socks, https, http]), Ok(()), "ALL_PROXY is not used");
        assert!(said(&[socks, https]).is_err() && said(&[socks, ("HTTPS_PROXY", ""), http]).is_err());
        let error = said(&[socks]).unwrap_err().to_string();
        assert!(error.contains("SOCKS"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_text_is_an_error() {
        use std::os::unix::ffi::OsStringExt;
        let value = OsString::from_vec(b"http://pr\xffxy:3128".to_vec());
        assert!(check(|name| (name == "https_proxy").then(|| value.clone())).is_err());
    }
}
