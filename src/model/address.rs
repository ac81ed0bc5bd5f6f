//! Addresses of servers, as they may be shown.

/// Returns an address without user and password: people, logs and run files may see it.
#[must_use]
pub fn without_user(address: &str) -> String {
    let scheme = address.find("://").map_or(0, |at| at + "://".len());
    let rest = &address[scheme..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{}{}", &address[..scheme], &rest[host..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_user() {
        for (address, shown) in [
            ("https://ana:secret@host:6443/path?a@b", "https://host:6443/path?a@b"),
            ("https://ana:se@cret@host", "https://host"),
            ("ana:secret@host", "host"),
            ("https://host/a@b", "https://host/a@b"),
            ("http://[::1]:4200/api", "http://[::1]:4200/api"),
            ("", ""),
        ] {
            assert_eq!(without_user(address), shown);
        }
    }
}
