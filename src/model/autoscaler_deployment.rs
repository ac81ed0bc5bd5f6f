//! The Cluster Autoscaler as it is deployed: version and flags.

use std::{collections::BTreeMap, fmt};

/// The Deployment of a Cluster Autoscaler.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutoscalerDeployment {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Image.
    pub image: String,
    /// Pods that are ready.
    pub ready: u32,
    /// Pods that there should be.
    pub wanted: u32,
    /// Flags without their dashes, each with its values in order. A flag without a value is `true`.
    pub flags: BTreeMap<String, Vec<String>>,
}

/// Major and minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor(pub u32, pub u32);

impl fmt::Display for Minor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

impl Minor {
    /// Returns the version of a text that begins with it: `v1.36.3`, `1.33.2-eks-1a2b3c`, `1.30`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).split(['.', '-', '+']);
        Some(Self(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

impl AutoscalerDeployment {
    /// Returns whether a container of this image is a Cluster Autoscaler.
    #[must_use]
    pub fn is_image(image: &str) -> bool {
        let name = image.split('@').next().unwrap_or(image);
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = name.split(':').next().unwrap_or(name);
        name.starts_with("cluster-autoscaler")
    }

    /// Returns the flags of a command line.
    #[must_use]
    pub fn flags_of<'a>(arguments: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Vec<String>> {
        let mut flags: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).filter(|flag| !flag.is_empty()) else { continue };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value),
                // As Go's flags: `--flag value`, and `--flag` alone for a truth value.
                None => (flag, arguments.next_if(|next| !next.starts_with('-')).unwrap_or("true")),
            };
            flags.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        flags
    }

    /// Returns its version by the tag of its image.
    #[must_use]
    pub fn version(&self) -> Option<Minor> {
        let name = self.image.split('@').next().unwrap_or(&self.image);
        let (_, tag) = name.rsplit_once('/').map_or(name, |(_, name)| name).split_once(':')?;
        Minor::parse(tag)
    }

    /// Returns the last value of a flag; none when it is left to its default.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags.get(name).and_then(|values| values.last()).map(String::as_str)
    }

    /// Returns the tags by which it discovers Auto Scaling groups, each with the value that it asks for, if any: all of one list
    /// have to be there. Empty when it discovers none.
    #[must_use]
    pub fn discovery_tags(&self) -> Vec<Vec<(&str, Option<&str>)>> {
        let discoveries = self.flags.get("node-group-auto-discovery").into_iter().flatten();
        let tags = discoveries.filter_map(|discovery| discovery.strip_prefix("asg:tag="));
        tags.map(|tags| tags.split(',').map(|tag| tag.split_once('=').map_or((tag, None), |(tag, value)| (tag, Some(value)))).collect()).collect()
    }

    /// Returns whether it is told of a group by name (`--nodes=min:max:name`).
    #[must_use]
    pub fn is_told_of(&self, group: &str) -> bool {
        self.flags.get("nodes").into_iter().flatten().any(|nodes| nodes.splitn(3, ':').nth(2) == Some(group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_tell_what_and_which() {
        for (image, version) in [
            ("registry.k8s.io/autoscaling/cluster-autoscaler:v1.36.1", Some(Minor(1, 36))),
            ("123.dkr.ecr.eu-west-1.amazonaws.com/mirror/cluster-autoscaler-amd64:1.33.0-eks@sha256:ab", Some(Minor(1, 33))),
            ("localhost:5000/cluster-autoscaler", None),
            ("cluster-autoscaler@sha256:ab", None),
        ] {
            let deployment = AutoscalerDeployment { image: image.into(), ..AutoscalerDeployment::default() };
            assert!(AutoscalerDeployment::is_image(image), "{image}");
            assert_eq!(deployment.version(), version, "{image}");
        }
        assert!(!AutoscalerDeployment::is_image("registry.k8s.io/cpa/cluster-proportional-autoscaler:v1.9.0"));
        assert_eq!(Minor::parse("v1.33.5-eks-3025e55"), Some(Minor(1, 33)));
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let arguments = [
            "./cluster-autoscaler",
            "--expander=random",
            "--expander",
            "least-waste",
            "--balance-similar-node-groups",
            "-v=4",
            "--node-group-auto-discovery=asg:tag=k8s.io/cluster-autoscaler/enabled=true,k8s.io/cluster-autoscaler/prod",
            "--nodes=0:5:flows-a",
        ];
        let deployment = AutoscalerDeployment { flags: AutoscalerDeployment::flags_of(arguments), ..AutoscalerDeployment::default() };
        assert_eq!(deployment.flag("expander"), Some("least-waste"));
        assert_eq!(deployment.flag("balance-similar-node-groups"), Some("true"));
        assert_eq!((deployment.flag("v"), deployment.flag("scan-interval")), (Some("4"), None));
        let tags = vec![vec![("k8s.io/cluster-autoscaler/enabled", Some("true")), ("k8s.io/cluster-autoscaler/prod", None)]];
        assert_eq!(deployment.discovery_tags(), tags);
        assert!(deployment.is_told_of("flows-a") && !deployment.is_told_of("flows"));
    }
}
