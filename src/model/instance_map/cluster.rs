//! Whether a map is for the cluster that one is about to use.

use super::InstanceMap;
use crate::{
    error::{Error, Result},
    model::suggestion,
};

impl InstanceMap {
    /// Refuses a cluster that the map is not for, and names the context that fits.
    ///
    /// `contexts` are the kubeconfig's contexts with the servers that they lead to. A map that names no server fits every cluster.
    pub fn check_cluster(&self, current_server: &str, contexts: &[(String, String)]) -> Result<()> {
        let Some(server) = &self.cluster.server else { return Ok(()) };
        let wanted = normalised(&server.value);
        if wanted == normalised(current_server) {
            return Ok(());
        }
        let name = self.cluster.name.as_ref().map_or_else(String::new, |name| format!(" `{}`", name.value));
        let message =
            format!("the instance map `{}` is for the cluster{name} at {}, and the current one is at {current_server}", self.name, server.value);
        let fitting: Vec<&str> = contexts.iter().filter(|(_, server)| normalised(server) == wanted).map(|(context, _)| context.as_str()).collect();
        let error = Error::rejected(message);
        let error = match (fitting.as_slice(), &self.cluster.name, &self.cluster.region) {
            ([only], ..) => error.hinted(format!("add `--context {only}`")),
            ([first, ..], ..) => {
                error.hinted(format!("add `--context {first}`; these contexts fit: {}", suggestion::listed(fitting.iter().copied())))
            }
            ([], Some(name), Some(region)) => error
                .hinted("no context of the kubeconfig leads there")
                .hinted(format!("to add one: `aws eks update-kubeconfig --region {} --name {}`", region.value, name.value)),
            ([], ..) => error.hinted("no context of the kubeconfig leads there; add one, or choose another map with `--map`"),
        };
        Err(error)
    }
}

/// Returns an address in one spelling: host in lower case, no default port, no slash at the end.
fn normalised(server: &str) -> String {
    let (scheme, rest) = server.split_once("://").unwrap_or(("https", server));
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let authority = authority.to_ascii_lowercase();
    let default_port = if scheme == "http" { ":80" } else { ":443" };
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    format!("{scheme}://{authority}{}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_spelling() {
        let server = "https://ABC.gr7.eu-west-1.eks.amazonaws.com";
        for same in
            ["https://abc.GR7.eu-west-1.eks.amazonaws.com/", "HTTPS://abc.gr7.eu-west-1.eks.amazonaws.com:443", "abc.gr7.eu-west-1.eks.amazonaws.com"]
        {
            assert_eq!(normalised(same), normalised(server), "{same}");
        }
        for other in ["http://abc.gr7.eu-west-1.eks.amazonaws.com", "https://abc.gr7.eu-west-1.eks.amazonaws.com:6443", "https://abd.example"] {
            assert_ne!(normalised(other), normalised(server), "{other}");
        }
        assert_eq!(normalised("https://[::1]:443/k8s/clusters/Abc/"), "https://[::1]/k8s/clusters/Abc");
        assert_ne!(normalised("https://[::1]:6443"), normalised("https://[::1]"));
    }
}
