//! What every command starts from: surroundings, global options, cluster, map, who I am.

use std::sync::Arc;

use crate::{
    cli::GlobalArgs,
    environment::Environment,
    error::{Error, Result},
    follow::Keep,
    kubernetes::{
        checks,
        connect::{Cluster, ConnectOptions},
    },
    model::{
        identity::label_value,
        instance_map::{CONFIG_MAP, InstanceMap},
        launch_plan::User,
        settings::{Key, value},
    },
    output::ui::{self, Ui},
    prefect::Server,
    store::{
        kept_log::KeptLogs,
        map_file::{self, FoundMap},
    },
};

/// What every command starts from.
#[derive(Debug)]
pub struct Context {
    /// The surroundings of this process.
    pub environment: Environment,
    /// The options of every command.
    pub global: GlobalArgs,
}

impl Context {
    /// Returns the context of a command line.
    #[must_use]
    pub fn new(environment: Environment, global: GlobalArgs) -> Self {
        Self { environment, global }
    }

    /// Returns the instance map of the files of this machine; none when there is no such file.
    pub fn find_map(&self) -> Result<Option<FoundMap>> {
        map_file::find(self.global.map.as_deref(), &self.environment)
    }

    /// Returns the instance map that fifty people share: the ConfigMap of the namespace.
    pub async fn map_of_cluster(&self, cluster: &Cluster) -> Result<Option<FoundMap>> {
        match checks::config_map(cluster, CONFIG_MAP).await? {
            Some(data) => map_file::from_config_map(&cluster.namespace, &data, &self.environment),
            None => Ok(None),
        }
    }

    /// Returns the instance map that jobs of this cluster are of, as far as one can be read: for what is nice to know.
    pub async fn map_of_jobs(&self, cluster: &Cluster) -> Option<InstanceMap> {
        let found = match self.find_map() {
            Ok(None) => self.map_of_cluster(cluster).await,
            found => found,
        };
        found.ok().flatten().map(|found| found.map)
    }

    /// Connects to where the jobs are: the namespace of the instance map counts for every command, as it does for `submit`.
    ///
    /// A map with problems must not hide the jobs: then the kubeconfig's namespace has to do, and a warning says so.
    pub async fn connect_for_jobs(&self, ui: &mut Ui) -> Result<Cluster> {
        let found = match self.find_map() {
            Ok(found) => found,
            Err(error) if self.global.map.is_some() => return Err(error),
            Err(error) => {
                ui.warning(&format!("{}; its namespace is not known", error.message()));
                None
            }
        };
        let cluster = self.connect(found.as_ref().and_then(FoundMap::namespace)).await?;
        if let Some(found) = found {
            found.map.check_cluster(&cluster.server, cluster.contexts())?;
        }
        Ok(cluster)
    }

    /// Connects to the cluster that flags and variables name. Makes no request.
    pub async fn connect(&self, namespace_of_map: Option<&str>) -> Result<Cluster> {
        let setting = |flag: &Option<String>, variable: &str| flag.clone().or_else(|| self.environment.get(variable).map(ToOwned::to_owned));
        let options = ConnectOptions {
            context: setting(&self.global.context, "SBRUN_CONTEXT"),
            namespace: setting(&self.global.namespace, "SBRUN_NAMESPACE").or_else(|| namespace_of_map.map(ToOwned::to_owned)),
        };
        Cluster::connect(&options, &self.environment, Arc::new(|text: String| ui::notice(&text))).await
    }

    /// Returns where the output of a job is kept while it is followed here; none where that is turned off: by the variable, by what its
    /// launch recorded, by the map, or because this is a pipeline, which has the output in a log of its own.
    pub fn keep(&self, recorded: Option<bool>, cluster: &Cluster) -> Result<Option<Keep>> {
        let variable = Key::KeepLogs.variable();
        let said = self.environment.get(&variable).map(value::truth).transpose();
        let said = said.map_err(|message| Error::usage(format!("{variable} {message}")))?;
        let mapped = || self.find_map().ok()??.map.defaults.keep_logs.map(|keep| keep.value);
        let wanted = said.or(recorded).or_else(mapped).unwrap_or_else(|| self.environment.ci().is_none());
        let logs = KeptLogs::of(&self.environment).filter(|_| wanted);
        Ok(logs.map(|logs| Keep { logs, server: cluster.server.clone() }))
    }

    /// Returns the Prefect API that Prefect itself would ask here; none when nothing names one. Makes no request.
    pub fn prefect(&self) -> Result<Option<Server>> {
        Server::find(&self.environment)
    }

    /// Returns the Prefect API, for a command that cannot do without.
    pub fn required_prefect(&self) -> Result<Server> {
        self.prefect()?.ok_or_else(|| {
            Error::rejected("no Prefect API is known here")
                .hinted("set PREFECT_API_URL, such as `http://prefect.example:4200/api`, or choose a profile: prefect profile use NAME")
        })
    }

    /// Returns who I am without asking anybody: `$SBRUN_USER`, else the CI actor.
    #[must_use]
    pub fn stated_user(&self) -> Option<User> {
        let name = self.environment.get("SBRUN_USER").map(ToOwned::to_owned).or_else(|| self.environment.ci().and_then(|ci| ci.actor))?;
        Some(User { label: label_value(&name), name })
    }

    /// Returns who I am: `$SBRUN_USER`, else the CI actor, else the API server's name for me, else the user of this machine.
    pub async fn user(&self, cluster: Option<&Cluster>) -> User {
        if let Some(user) = self.stated_user() {
            return user;
        }
        let known = match cluster {
            Some(cluster) => checks::identity(cluster).await,
            None => None,
        };
        let name = known.or_else(|| self.environment.get("USER").or_else(|| self.environment.get("LOGNAME")).map(ToOwned::to_owned));
        let name = name.unwrap_or_else(|| "unknown".to_owned());
        User { label: label_value(&name), name }
    }
}
