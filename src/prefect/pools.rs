//! Work pools and the blocks that go with them: read, made, changed. Who uses them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Server, flow_runs::encoded};
use crate::{
    error::{Error, Result},
    model::prefect::pool::{
        BLOCK_TYPE, PoolPlan,
        live::{LiveBlock, LivePool, User},
    },
};

/// How many documents an answer holds at most.
const PAGE: usize = 200;

#[derive(Debug, Deserialize)]
struct PoolDocument {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    base_job_template: Value,
}

#[derive(Debug, Deserialize)]
struct Identified {
    id: String,
}

#[derive(Debug, Deserialize)]
struct BlockDocument {
    id: String,
    #[serde(default)]
    data: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct DeploymentDocument {
    id: String,
    name: String,
    flow_id: String,
    #[serde(default)]
    job_variables: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct RunDocument {
    name: String,
    deployment_id: Option<String>,
    #[serde(default)]
    job_variables: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct NamedDocument {
    id: String,
    name: String,
}

impl Server {
    /// Returns the version of the server.
    pub async fn version(&self) -> Result<String> {
        let found: Option<String> = self.get("/admin/version", "asking for the version of the server").await?;
        found.ok_or_else(|| Error::unreachable(format!("what answers at `{}` is no Prefect API", self.api_url())))
    }

    /// Returns a work pool as it is, with the block `block` of its sizes; none when there is no pool of this name.
    pub async fn live_pool(&self, name: &str, block: &str) -> Result<Option<LivePool>> {
        let path = format!("/work_pools/{}", encoded(name));
        let reading = format!("reading work pool `{name}`");
        let (pool, block) = tokio::try_join!(self.get::<PoolDocument>(&path, &reading), self.pool_block(block))?;
        Ok(pool.map(|PoolDocument { kind, base_job_template }| LivePool { kind, template: base_job_template, block }))
    }

    /// Returns the block of a pool; none when it has none.
    pub async fn pool_block(&self, block: &str) -> Result<Option<LiveBlock>> {
        let path = format!("/block_types/slug/{BLOCK_TYPE}/block_documents/name/{}", encoded(block));
        let found: Option<BlockDocument> = self.get(&path, &format!("reading block `{BLOCK_TYPE}/{block}`")).await?;
        Ok(found.map(|BlockDocument { id, mut data }| {
            let sizes = match data.remove("sizes") {
                Some(Value::Object(sizes)) => sizes,
                _ => Map::new(),
            };
            LiveBlock { id, sizes, written: data.remove("written").filter(Value::is_object) }
        }))
    }

    /// Makes a work pool, its block first: a template that refers to nothing would break every run.
    ///
    /// # Errors
    /// When there is a pool of this name.
    pub async fn create_pool(&self, plan: &PoolPlan) -> Result<()> {
        let existing = self.pool_block(&plan.block).await?;
        self.write_pool_block(&plan.block, existing.as_ref(), &plan.sizes, Some(&plan.template)).await?;
        let body = json!({
            "name": plan.name,
            "type": "kubernetes",
            "description": "Flows at a size of the instance map. Made by sbrun, which keeps what is edited here.",
            "base_job_template": plan.template,
        });
        let _made: Identified = self.post("/work_pools/", &body, &format!("creating work pool `{}`", plan.name)).await?;
        Ok(())
    }

    /// Replaces the template of a work pool.
    pub async fn set_pool_template(&self, name: &str, template: &Value) -> Result<()> {
        let body = json!({"base_job_template": template});
        self.patch(&format!("/work_pools/{}", encoded(name)), &body, &format!("changing work pool `{name}`")).await
    }

    /// Writes what sizes come to, and the template that sbrun wrote last; without one that stays as it is.
    pub async fn write_pool_block(
        &self,
        block: &str,
        existing: Option<&LiveBlock>,
        sizes: &Map<String, Value>,
        written: Option<&Value>,
    ) -> Result<()> {
        let mut data = json!({"sizes": sizes});
        if let Some(written) = written {
            data["written"] = written.clone();
        }
        let doing = format!("writing block `{BLOCK_TYPE}/{block}`");
        if let Some(existing) = existing {
            let body = json!({"data": data, "merge_existing_data": true});
            return self.patch(&format!("/block_documents/{}", encoded(&existing.id)), &body, &doing).await;
        }
        let kind = self.block_type().await?;
        let schema: Identified = self.post("/block_schemas/", &block_schema(&kind), "registering the schema of sbrun's blocks").await?;
        let body = json!({"name": block, "block_type_id": kind, "block_schema_id": schema.id, "data": data});
        let _made: Identified = self.post("/block_documents/", &body, &doing).await?;
        Ok(())
    }

    /// Returns the id of the type of sbrun's blocks, which is made when it is not there.
    async fn block_type(&self) -> Result<String> {
        let path = format!("/block_types/slug/{BLOCK_TYPE}");
        let reading = "looking for the type of sbrun's blocks";
        if let Some(found) = self.get::<Identified>(&path, reading).await? {
            return Ok(found.id);
        }
        let body = json!({
            "name": "sbrun pool",
            "slug": BLOCK_TYPE,
            "description": "What the sizes of a work pool come to: node selector, tolerations, resources. Kept by `sbrun prefect pool`.",
        });
        let made = self.post::<_, Identified>("/block_types/", &body, "registering the type of sbrun's blocks").await;
        // Somebody else may have been quicker, or the answer to a first try got lost.
        match (made, self.get::<Identified>(&path, reading).await?) {
            (_, Some(found)) => Ok(found.id),
            (made, None) => made.map(|made| made.id),
        }
    }

    /// Returns who launches runs in a pool: its deployments, and runs that are scheduled already with job variables of their own.
    pub async fn users_of_pool(&self, pool: &str) -> Result<Vec<User>> {
        let of_pool = json!({"name": {"any_": [pool]}});
        let deployments: Vec<DeploymentDocument> = self
            .pages("/deployments/filter", json!({"work_pools": of_pool, "sort": "NAME_ASC"}), &format!("listing the deployments of pool `{pool}`"))
            .await?;
        let scheduled =
            json!({"work_pools": of_pool, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED", "PAUSED"]}}}, "sort": "EXPECTED_START_TIME_ASC"});
        let runs: Vec<RunDocument> = self.pages("/flow_runs/filter", scheduled, &format!("listing the scheduled runs of pool `{pool}`")).await?;
        let flow_ids: Vec<&str> = deployments.iter().map(|deployment| deployment.flow_id.as_str()).collect();
        let flows: Vec<NamedDocument> = if flow_ids.is_empty() {
            Vec::new()
        } else {
            self.pages("/flows/filter", json!({"flows": {"id": {"any_": flow_ids}}, "sort": "NAME_ASC"}), "listing flows").await?
        };
        let flow = |id: &str| flows.iter().find(|flow| flow.id == id).map_or("?", |flow| flow.name.as_str()).to_owned();
        let size = |variables: Option<&Map<String, Value>>| {
            variables.and_then(|variables| variables.get("size")).and_then(Value::as_str).map(ToOwned::to_owned)
        };
        let mut users: Vec<User> = Vec::new();
        for deployment in &deployments {
            let name = format!("{}/{}", flow(&deployment.flow_id), deployment.name);
            users.push(User { what: "deployment", name, size: size(deployment.job_variables.as_ref()) });
        }
        for run in &runs {
            let own = size(run.job_variables.as_ref());
            let known = run.deployment_id.as_ref().is_some_and(|id| deployments.iter().any(|deployment| deployment.id == *id));
            // A run without a word of its own goes the way of its deployment.
            if own.is_some() || !known {
                users.push(User { what: "scheduled run", name: run.name.clone(), size: own });
            }
        }
        Ok(users)
    }

    /// Returns all documents that a filter finds.
    async fn pages<T: serde::de::DeserializeOwned>(&self, path: &str, mut filter: Value, doing: &str) -> Result<Vec<T>> {
        let mut found = Vec::new();
        loop {
            filter["limit"] = json!(PAGE);
            filter["offset"] = json!(found.len());
            let page: Vec<T> = self.post(path, &filter, doing).await?;
            let is_last = page.len() < PAGE;
            found.extend(page);
            if is_last {
                return Ok(found);
            }
        }
    }
}

/// Returns the schema of the blocks, without anything secret: people may look at them.
fn block_schema(block_type: &str) -> Value {
    let any = |title: &str, description: &str| json!({"title": title, "description": description, "type": "object"});
    json!({
        "block_type_id": block_type,
        "capabilities": [],
        "fields": {
            "title": "sbrun pool",
            "description": "What the sizes of a work pool come to.",
            "type": "object",
            "properties": {
                "sizes": any("Sizes", "What each size comes to; the template of the pool looks it up."),
                "written": any("Written", "The base job template that sbrun wrote last, by which it knows what people have edited since."),
            },
            "required": ["sizes"],
            "block_type_slug": BLOCK_TYPE,
            "block_schema_references": {},
        },
    })
}
