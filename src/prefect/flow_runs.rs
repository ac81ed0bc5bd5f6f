//! Flow runs: created, read, followed, stopped.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Server;
use crate::{
    error::{Error, Result},
    model::prefect::{
        flow_run::{FlowRun, State, StateType, WorkPool, Worker},
        pool::{self, reading},
    },
};

/// The API's own limit of a list.
const PAGE: usize = 200;

/// A deployment: a flow, and how and where its runs are launched.
#[derive(Debug, Clone, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// The pool that its runs go to.
    pub work_pool_name: Option<String>,
    /// Job variables of its runs.
    #[serde(default)]
    pub job_variables: BTreeMap<String, Value>,
    /// Whether somebody paused it: its schedules are, too.
    #[serde(default)]
    pub paused: bool,
}

/// What a new run is made of.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewRun {
    /// Its name; Prefect makes one up otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Parameters of the flow.
    pub parameters: BTreeMap<String, Value>,
    /// Job variables over those of the deployment, where it has one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub job_variables: BTreeMap<String, Value>,
    /// Tags.
    pub tags: Vec<String>,
    /// The same key leads to the same run.
    pub idempotency_key: String,
    /// Retries over those of the flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empirical_policy: Option<Value>,
}

/// A flow run, as the API writes it.
#[derive(Debug, Deserialize)]
struct FlowRunDocument {
    id: String,
    name: String,
    state: Option<StateDocument>,
    #[serde(default)]
    run_count: u32,
    #[serde(default)]
    empirical_policy: Policy,
    work_pool_name: Option<String>,
    infrastructure_pid: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
    #[serde(default)]
    job_variables: Option<BTreeMap<String, Value>>,
    created: Option<Timestamp>,
    expected_start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
struct Policy {
    retry_type: Option<String>,
}

#[derive(Debug, Deserialize)]
struct StateDocument {
    #[serde(rename = "type")]
    kind: StateType,
    name: Option<String>,
    message: Option<String>,
    timestamp: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct WorkPoolDocument {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    is_paused: bool,
    #[serde(default)]
    base_job_template: Value,
}

#[derive(Debug, Deserialize)]
struct WorkerDocument {
    name: String,
    status: Option<String>,
    last_heartbeat_time: Option<Timestamp>,
}

/// What became of a proposed state: `ACCEPT`, or the orchestration's own decision.
#[derive(Debug, Deserialize)]
struct OrchestrationDocument {
    status: String,
    state: Option<StateDocument>,
    #[serde(default)]
    details: Value,
}

impl From<StateDocument> for State {
    fn from(document: StateDocument) -> Self {
        let StateDocument { kind, name, message, timestamp } = document;
        let name = name.unwrap_or_default();
        Self { kind, name, message: message.filter(|message| !message.is_empty()), since: timestamp }
    }
}

impl From<FlowRunDocument> for FlowRun {
    fn from(document: FlowRunDocument) -> Self {
        Self {
            id: document.id,
            name: document.name,
            state: document.state.map(State::from).unwrap_or_default(),
            run_count: document.run_count,
            retry_type: document.empirical_policy.retry_type,
            work_pool: document.work_pool_name,
            infrastructure: document.infrastructure_pid,
            parameters: document.parameters,
            job_variables: document.job_variables.unwrap_or_default(),
            created: document.created,
            expected_start: document.expected_start_time,
            ended: document.end_time,
        }
    }
}

impl Server {
    /// Returns the deployment that `flow/deployment` names; none when there is none of this name.
    pub async fn deployment(&self, flow: &str, deployment: &str) -> Result<Option<Deployment>> {
        let doing = format!("reading deployment `{flow}/{deployment}`");
        self.get(&format!("/deployments/name/{}/{}", encoded(flow), encoded(deployment)), &doing).await
    }

    /// Returns the names `flow/deployment` of the server's deployments, for whoever mistyped one; one page of them.
    pub async fn deployment_names(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Named {
            id: String,
            name: String,
        }
        #[derive(Deserialize)]
        struct Deployed {
            name: String,
            flow_id: String,
        }
        let body = json!({"limit": PAGE});
        let (flows, deployments): (Vec<Named>, Vec<Deployed>) =
            tokio::try_join!(self.post("/flows/filter", &body, "listing flows"), self.post("/deployments/filter", &body, "listing deployments"),)?;
        let flow = |id: &String| flows.iter().find(|flow| flow.id == *id).map(|flow| flow.name.clone());
        Ok(deployments.into_iter().filter_map(|deployment| Some(format!("{}/{}", flow(&deployment.flow_id)?, deployment.name))).collect())
    }

    /// Creates a run of a deployment, or returns the one that its key made before.
    pub async fn create_run(&self, deployment: &str, run: &NewRun) -> Result<FlowRun> {
        let document: FlowRunDocument = self.post(&format!("/deployments/{deployment}/create_flow_run"), run, "creating the flow run").await?;
        Ok(document.into())
    }

    /// Creates a run of the flow of this name that no worker takes up, or returns the one that its key made before.
    pub async fn create_flow_run(&self, flow: &str, run: &NewRun) -> Result<FlowRun> {
        #[derive(Deserialize)]
        struct Flow {
            id: String,
        }
        let flow: Flow = self.post("/flows/", &json!({"name": flow}), "registering the flow").await?;
        let mut body = serde_json::to_value(run).map_err(|error| Error::internal("a flow run cannot be written").caused_by(error))?;
        body["flow_id"] = json!(flow.id);
        body["state"] = json!({"type": StateType::Pending, "name": "Submitting"});
        let document: FlowRunDocument = self.post("/flow_runs/", &body, "creating the flow run").await?;
        Ok(document.into())
    }

    /// Notes the Job of a flow run, in the words of Prefect's own worker.
    pub async fn note_job(&self, id: &str, namespace: &str, job: &str) -> Result<()> {
        let doing = format!("noting the Job of flow run `{id}`");
        self.patch(&format!("/flow_runs/{}", encoded(id)), &json!({"infrastructure_pid": format!("{namespace}:{job}")}), &doing).await
    }

    /// Returns a flow run; none when there is none of this id.
    pub async fn flow_run(&self, id: &str) -> Result<Option<FlowRun>> {
        let document: Option<FlowRunDocument> = self.get(&format!("/flow_runs/{}", encoded(id)), &format!("reading flow run `{id}`")).await?;
        Ok(document.map(FlowRun::from))
    }

    /// Returns the flow runs that a filter of the API finds, at most one page of them.
    pub async fn flow_runs(&self, filter: &Value) -> Result<Vec<FlowRun>> {
        let documents: Vec<FlowRunDocument> = self.post("/flow_runs/filter", filter, "listing flow runs").await?;
        Ok(documents.into_iter().map(FlowRun::from).collect())
    }

    /// Returns the flow runs with these ids that there are.
    pub async fn flow_runs_of(&self, ids: &[String]) -> Result<Vec<FlowRun>> {
        let mut runs = Vec::new();
        for ids in ids.chunks(PAGE) {
            runs.extend(self.flow_runs(&json!({"flow_runs": {"id": {"any_": ids}}, "limit": PAGE})).await?);
        }
        Ok(runs)
    }

    /// Proposes a state and returns the one that the run then has: the orchestration may have decided otherwise.
    ///
    /// # Errors
    /// When the orchestration refuses without a state of its own, or wants to be asked later.
    pub async fn set_state(&self, id: &str, kind: StateType, name: &str, message: &str) -> Result<State> {
        self.orchestrate(id, name, &json!({"type": kind, "name": name, "message": message}), false).await
    }

    /// Sets a state whatever the run's own was: only where its process is over and has said otherwise.
    pub async fn correct_state(&self, id: &str, kind: StateType, name: &str, message: &str) -> Result<State> {
        self.orchestrate(id, name, &json!({"type": kind, "name": name, "message": message}), true).await
    }

    /// Schedules a run that has ended, or waits for a later start, for another one.
    pub async fn schedule_again(&self, id: &str, at: Timestamp) -> Result<()> {
        let name = "AwaitingRetry";
        let state = json!({"type": StateType::Scheduled, "name": name, "state_details": {"scheduled_time": at}});
        // The rules clear what an earlier attempt left, such as that its process would start the next one; they keep completed runs.
        match self.orchestrate(id, name, &state, false).await {
            Ok(state) if state.kind == StateType::Scheduled => Ok(()),
            _ => self.orchestrate(id, name, &state, true).await.map(drop),
        }
    }

    async fn orchestrate(&self, id: &str, name: &str, state: &Value, force: bool) -> Result<State> {
        let doing = format!("setting flow run `{id}` to {name}");
        let body = json!({"state": state, "force": force});
        let document: OrchestrationDocument = self.post(&format!("/flow_runs/{}/set_state", encoded(id)), &body, &doing).await?;
        let reason = document.details["reason"].as_str().unwrap_or("it gave no reason").to_owned();
        match (document.status.as_str(), document.state) {
            ("ACCEPT", Some(state)) => Ok(state.into()),
            ("REJECT", Some(state)) if !force => Ok(state.into()),
            (status, _) => Err(Error::failed(format!("Prefect answered {status} while {doing}: {reason}"))),
        }
    }

    /// Changes the job variables of a run that has not started yet.
    pub async fn set_job_variables(&self, id: &str, variables: &BTreeMap<String, Value>) -> Result<()> {
        let doing = format!("changing the job variables of flow run `{id}`");
        self.patch(&format!("/flow_runs/{}", encoded(id)), &json!({"job_variables": variables}), &doing).await
    }

    /// Returns a pool with its workers; none when there is none of this name.
    pub async fn work_pool_and_workers(&self, name: &str) -> Result<Option<WorkPool>> {
        let path = format!("/work_pools/{}", encoded(name));
        let (reading, listing) = (format!("reading work pool `{name}`"), format!("listing the workers of pool `{name}`"));
        let (body, of_workers) = (json!({"limit": PAGE}), format!("{path}/workers/filter"));
        let (pool, workers) =
            tokio::join!(self.get::<WorkPoolDocument>(&path, &reading), self.post::<_, Vec<WorkerDocument>>(&of_workers, &body, &listing),);
        let Some(pool) = pool? else { return Ok(None) };
        let workers = workers?.into_iter().map(|worker| Worker {
            is_online: worker.status.as_deref() == Some("ONLINE"),
            name: worker.name,
            last_heartbeat: worker.last_heartbeat_time,
        });
        let template = &pool.base_job_template;
        let properties = template["variables"]["properties"].as_object();
        Ok(Some(WorkPool {
            variables: properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect(),
            sizes: reading::sizes(template).into_iter().map(ToOwned::to_owned).collect(),
            default_size: reading::default_size(template).map(ToOwned::to_owned),
            refused: pool::refused(template),
            two_owners: pool::two_owners(template),
            name: pool.name,
            kind: pool.kind,
            is_paused: pool.is_paused,
            workers: workers.collect(),
        }))
    }
}

/// Returns a text as a part of a path.
pub(super) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*, sample::select};

    use super::*;

    fn odd() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            select(vec!["RUNNING", "COMPLETED", "CRASHED", "NEW", "2026-11-24T10:00:00Z", "9999-12-31T23:59:59Z", "ACCEPT"]).prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 3, |inner| {
            let names = select(vec!["type", "name", "state", "variables", "properties", "job_variables", "size", "x"]).prop_map(ToOwned::to_owned);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                btree_map(names, inner, 0..4).prop_map(|fields| json!(fields)),
            ]
        })
    }

    fn document() -> impl Strategy<Value = Value> {
        let names = [
            "id",
            "name",
            "state",
            "type",
            "run_count",
            "empirical_policy",
            "work_pool_name",
            "infrastructure_pid",
            "parameters",
            "job_variables",
            "created",
            "expected_start_time",
            "end_time",
            "status",
            "details",
            "is_paused",
            "base_job_template",
            "last_heartbeat_time",
        ];
        let fields = btree_map(select(names.to_vec()).prop_map(ToOwned::to_owned), odd(), 0..10);
        (fields, any::<bool>()).prop_map(|(mut fields, sound)| {
            if sound {
                fields.extend(
                    [("id", json!("i")), ("name", json!("n")), ("state", json!({"type": "RUNNING"}))].map(|(name, value)| (name.to_owned(), value)),
                );
            }
            json!(fields)
        })
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(document in document()) {
            if let Ok(read) = serde_json::from_value::<FlowRunDocument>(document.clone()) {
                let run = FlowRun::from(read);
                prop_assert_eq!(Some(run.id.as_str()), document["id"].as_str());
                prop_assert!(run.size().is_none_or(|size| document["job_variables"].to_string().contains(size) || !size.is_ascii()));
            }
            drop(serde_json::from_value::<WorkPoolDocument>(document.clone()));
            drop(serde_json::from_value::<WorkerDocument>(document.clone()));
            drop(serde_json::from_value::<OrchestrationDocument>(document));
        }
    }
}
