//! The machine on which the process runs.

/// Returns the name of this machine.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_what_uname_says() {
        let output = std::process::Command::new("uname").arg("-n").output().unwrap();
        assert_eq!(super::name(), String::from_utf8(output.stdout).unwrap().trim());
    }
}
