//! The cloud account: sole owner of the Auto Scaling client; group, activity → model.
//!
//! Most people who run flows have no rights in the account, many have no credentials, and some have some that ended an hour ago.
//! So everything here is optional: whoever merely observes gets a [`Sighting`], which says in one sentence why there is nothing to
//! be seen. Nothing is asked before something is wanted, and no answer is awaited for long.

mod activities;
mod error;
mod groups;
mod reading;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_config::{BehaviorVersion, ConfigLoader, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_autoscaling::{Client, config::http::HttpResponse, error::SdkError};
use tokio::{sync::OnceCell, time::Instant};

use crate::{
    environment::{self, Environment},
    error::{Error, Result},
    model::node_group::Sighting,
};
use error::{Closed, Origin};

/// How patient to be.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// To find out the region: its last source is a machine's metadata service, which a laptop does not have.
    region: Duration,
    /// To open a connection.
    connect: Duration,
    /// One try of one call.
    attempt: Duration,
    /// One call with all its tries, credentials included.
    call: Duration,
    /// All pages of one question.
    question: Duration,
    /// How long to leave an account alone to which there was no way: somebody may log in meanwhile.
    closed: Duration,
}

impl Limits {
    /// AWS answers within 0.3 s, a large group within 1 s; whoever waits for a job wants to know the rest meanwhile.
    const USUAL: Self = Self {
        region: Duration::from_secs(3),
        connect: Duration::from_secs(3),
        attempt: Duration::from_secs(5),
        call: Duration::from_secs(10),
        question: Duration::from_secs(30),
        closed: Duration::from_secs(60),
    };
}

/// Tries of one call, the first included. AWS throttles by the second, so that a third try mostly succeeds.
const TRIES: u32 = 3;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An AWS account in one region, as far as its Auto Scaling groups go.
#[derive(Debug, Clone)]
pub struct Account {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    /// Name of the EKS cluster: tells its managed node groups from those of others.
    cluster: Option<String>,
    region_of_map: Option<String>,
    profile: Option<String>,
    connected: OnceCell<Connected>,
    closed: Mutex<Option<(Instant, Closed)>>,
}

#[derive(Debug)]
struct Connected {
    client: Client,
    region: Option<String>,
}

impl Account {
    /// Returns the account of the standard AWS configuration. Makes no request.
    ///
    /// `region` and `cluster`, the name of the EKS cluster, are those of the instance map; without a region the configuration decides.
    /// The SDK reads variables and files itself: profiles, SSO, web identity, credential processes, `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn connect(region: Option<&str>, cluster: Option<&str>, environment: &Environment) -> Self {
        Self::with_limits(region, cluster, environment.get("AWS_PROFILE"), Limits::USUAL)
    }

    fn with_limits(region: Option<&str>, cluster: Option<&str>, profile: Option<&str>, limits: Limits) -> Self {
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Self {
            shared: Arc::new(Shared {
                limits,
                cluster: owned(cluster),
                region_of_map: owned(region),
                profile: owned(profile),
                connected: OnceCell::new(),
                closed: Mutex::new(None),
            }),
        }
    }

    /// Returns the region, when one is known.
    pub async fn region(&self) -> Option<&str> {
        self.connected().await.region.as_deref()
    }

    async fn connected(&self) -> &Connected {
        self.shared.connected.get_or_init(|| self.load(aws_config::defaults(BehaviorVersion::latest()))).await
    }

    async fn load(&self, loader: ConfigLoader) -> Connected {
        let limits = &self.shared.limits;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(limits.connect).operation_attempt_timeout(limits.attempt).operation_timeout(limits.call).build();
        let retries = RetryConfig::standard().with_max_attempts(TRIES).with_max_backoff(LONGEST_PAUSE);
        let loader = loader.timeout_config(timeouts).retry_config(retries);
        let config = if let Some(region) = &self.shared.region_of_map {
            loader.region(Region::new(region.clone())).load().await
        } else {
            let region = aws_config::default_provider::region::default_provider();
            let region = tokio::time::timeout(limits.region, aws_config::meta::region::ProvideRegion::region(&region)).await.ok().flatten();
            loader.region(region).load().await
        };
        Connected { client: Client::new(&config), region: config.region().map(ToString::to_string) }
    }

    /// Makes one call. `action` is what IAM calls it, such as `DescribeAutoScalingGroups`.
    async fn call<T, E, F>(&self, action: &str, operation: impl FnOnce(Client) -> F) -> Result<T>
    where
        E: aws_sdk_autoscaling::error::ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        if let Some(closed) = self.closed() {
            return Err(closed.into());
        }
        let connected = self.connected().await;
        let origin = self.origin(connected);
        if connected.region.is_none() {
            return Err(self.close(Closed::without_region()));
        }
        match operation(connected.client.clone()).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(match error::explain(&error, action, &origin) {
                error::Explained::Closed(closed) => self.close(closed),
                error::Explained::Refused(error) => error,
            }),
        }
    }

    /// Limits the time of a question that takes several calls.
    async fn within<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.shared.limits.question;
        tokio::time::timeout(limit, question).await.unwrap_or_else(|_| {
            let message = format!("AWS Auto Scaling did not answer in full within {} s", limit.as_secs());
            Err(Error::unreachable(message).hinted("it answers slowly or asks for fewer requests; try again later"))
        })
    }

    fn origin<'a>(&'a self, connected: &'a Connected) -> Origin<'a> {
        Origin { region: connected.region.as_deref(), of_map: self.shared.region_of_map.is_some(), profile: self.shared.profile.as_deref() }
    }

    fn closed(&self) -> Option<Closed> {
        let closed = self.shared.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.as_ref().filter(|(until, _)| Instant::now() < *until).map(|(_, closed)| closed.clone())
    }

    /// Remembers that there is no way to the account, so that the next question does not wait in vain as well.
    fn close(&self, closed: Closed) -> Error {
        let until = Instant::now() + self.shared.limits.closed;
        *self.shared.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, closed.clone()));
        closed.into()
    }
}

/// Returns what an answer means to somebody who merely observes.
fn sighting<T>(answer: Result<T>) -> Sighting<T> {
    match answer {
        Ok(value) => Sighting::Seen { value, at: environment::now() },
        Err(error) => Sighting::Unseen(sentence(&error)),
    }
}

/// Returns an error as one sentence: what happened, and what to do about it.
fn sentence(error: &Error) -> String {
    match error.hints().first() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
