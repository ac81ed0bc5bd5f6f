//! All settings as `config` lists them.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use super::{Settings, TemplateChoice};
use crate::model::{
    duration,
    launch_plan::{OnInterrupt, RunAsUser},
    settings::{Key, Origin, Setting},
};

/// One setting for people and scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name, such as `pending_timeout` or `env.TZ`.
    pub key: String,
    /// Its value as it would be written; `None` when nothing is set.
    pub value: Option<String>,
    /// Who set it; `None` when nothing is set.
    pub origin: Option<Origin>,
}

impl Settings {
    /// Returns all settings, in the order of [`Key::ALL`]; those with names of their own one by one.
    #[must_use]
    pub fn listed(&self) -> Vec<Listed> {
        Key::ALL.into_iter().flat_map(|key| self.listed_for(key)).collect()
    }

    fn listed_for(&self, key: Key) -> Vec<Listed> {
        let limit = |setting: &Setting<Duration>| one(key, Some(setting), |value| duration::format_exact(*value));
        match key {
            Key::Size => text(key, self.size.as_ref()),
            Key::Name => text(key, self.name.as_ref()),
            Key::Image => text(key, self.image.as_ref()),
            Key::Cpu => one(key, self.cpu.as_ref(), |cpu| cpu.to_kubernetes()),
            Key::Memory => one(key, self.memory.as_ref(), |memory| memory.to_kubernetes()),
            Key::Timeout => limit(&self.timeout),
            Key::PendingTimeout => limit(&self.pending_timeout),
            Key::QueueTimeout => limit(&self.queue_timeout),
            Key::StallTimeout => one(key, self.stall_timeout.as_ref(), |value| duration::format_exact(*value)),
            Key::Grace => limit(&self.grace),
            Key::FinishedTtl => limit(&self.finished_ttl),
            Key::Lease => limit(&self.lease),
            Key::InfrastructureRetries => text(key, Some(&self.infrastructure_retries)),
            Key::OnInterrupt => one(key, Some(&self.on_interrupt), |value| {
                match value {
                    OnInterrupt::Cancel => "cancel",
                    OnInterrupt::Detach => "detach",
                }
                .to_owned()
            }),
            Key::OnNoCapacity => one(key, Some(&self.on_no_capacity), |value| value.as_str().to_owned()),
            Key::OnOom => one(key, Some(&self.on_oom), |value| value.as_str().to_owned()),
            Key::Prefect => one(key, Some(&self.prefect), |value| value.as_str().to_owned()),
            Key::Env => named(key, &self.env),
            Key::Label => named(key, &self.labels),
            Key::ServiceAccount => text(key, self.service_account.as_ref()),
            Key::RunAsUser => one(key, Some(&self.run_as_user), |value| match value {
                RunAsUser::Id(id) => id.to_string(),
                RunAsUser::Image => "image".to_owned(),
            }),
            Key::Template => one(key, self.template.as_ref(), |value| match value {
                TemplateChoice::Path(file) => file.clone(),
                TemplateChoice::Loaded(template) => template.file.clone(),
            }),
            Key::LogsUrl => text(key, self.logs_url.as_ref()),
            Key::KeepLogs => text(key, Some(&self.keep_logs)),
            Key::Root => text(key, self.root.as_ref()),
            Key::Include => several(key, &self.include),
            Key::Exclude => several(key, &self.exclude),
            Key::Namespace => text(key, self.namespace.as_ref()),
            Key::Context => text(key, self.context.as_ref()),
            Key::Map => text(key, self.map.as_ref()),
        }
    }
}

fn one<T>(key: Key, setting: Option<&Setting<T>>, write: impl FnOnce(&T) -> String) -> Vec<Listed> {
    let origin = setting.map(|setting| setting.origin.clone());
    vec![Listed { key: key.name().to_owned(), value: setting.map(|setting| write(&setting.value)), origin }]
}

fn text<T: Display>(key: Key, setting: Option<&Setting<T>>) -> Vec<Listed> {
    one(key, setting, ToString::to_string)
}

fn named(key: Key, settings: &BTreeMap<String, Setting<String>>) -> Vec<Listed> {
    let listed = |(name, setting): (&String, &Setting<String>)| Listed {
        key: format!("{}.{name}", key.name()),
        value: Some(setting.value.clone()),
        origin: Some(setting.origin.clone()),
    };
    settings.iter().map(listed).collect()
}

fn several(key: Key, settings: &[Setting<String>]) -> Vec<Listed> {
    settings.iter().flat_map(|setting| text(key, Some(setting))).collect()
}
