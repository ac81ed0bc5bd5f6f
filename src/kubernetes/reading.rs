//! Reading objects: what an answer means, and lists page by page.

use kube::{
    Api,
    api::{ListParams, ObjectList, PartialObjectMeta},
};
use serde::de::DeserializeOwned;

use crate::kubernetes::{
    connect::Cluster,
    error::status,
    retry::{CallError, Patience, Repeat},
};

/// The most objects of one page.
pub(crate) const PAGE: u32 = 500;
/// How often a list starts anew when the server has forgotten its continuation.
pub(crate) const RESTARTS: u32 = 2;

impl Cluster {
    /// Returns an object, or nothing when there is none.
    pub(crate) async fn read<K>(&self, api: &Api<K>, name: &str, patience: Patience, doing: &str) -> Result<Option<K>, CallError>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.call(Repeat::Read, patience, doing, || api.get_opt(name)).await
    }

    /// Returns all objects that `parameters` select.
    pub(crate) async fn read_all<K>(&self, api: &Api<K>, parameters: ListParams, patience: Patience, doing: &str) -> Result<Vec<K>, CallError>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.pages(parameters, patience, doing, |parameters| async move { api.list(&parameters).await }).await
    }

    /// Returns the metadata of all objects that `parameters` select.
    pub(crate) async fn read_all_metadata<K>(
        &self,
        api: &Api<K>,
        parameters: ListParams,
        patience: Patience,
        doing: &str,
    ) -> Result<Vec<PartialObjectMeta<K>>, CallError>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.pages(parameters, patience, doing, |parameters| async move { api.list_metadata(&parameters).await }).await
    }

    async fn pages<T, F, Fut>(&self, parameters: ListParams, patience: Patience, doing: &str, mut page: F) -> Result<Vec<T>, CallError>
    where
        T: Clone,
        F: FnMut(ListParams) -> Fut,
        Fut: Future<Output = kube::Result<ObjectList<T>>>,
    {
        let first = parameters.limit(PAGE);
        let (mut found, mut next, mut restarts) = (Vec::new(), first.clone(), 0);
        loop {
            let list = match self.call(Repeat::Read, patience, doing, || page(next.clone())).await {
                Err(error) if is_forgotten(&error) && restarts < RESTARTS => {
                    restarts += 1;
                    found.clear();
                    next = first.clone();
                    continue;
                }
                list => list?,
            };
            found.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => next = first.clone().continue_token(&token),
                None => return Ok(found),
            }
        }
    }
}

/// Returns whether the server has forgotten a list that it was to continue.
pub(crate) fn is_forgotten(error: &CallError) -> bool {
    status(error).is_some_and(|status| status.code == 410)
}
