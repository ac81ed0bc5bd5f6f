//! Reading objects: what an answer means, and lists page by page.

use bytes::Bytes;
use kube::{
    Api,
    api::{ListParams, ObjectList, PartialObjectMeta},
    core::Request,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::kubernetes::{
    connect::Cluster,
    error::status,
    retry::{CallError, Patience, Repeat},
};

/// The most objects of one page.
const PAGE: u32 = 500;
/// The most Jobs or pods of one page: with the flow's files in it one may weigh 150 KiB.
pub(crate) const HEAVY_PAGE: u32 = 100;
/// How often a list starts anew when the server has forgotten its continuation.
const RESTARTS: u32 = 2;

/// How much of each object a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// Names, labels, annotations and the like.
    Metadata,
}

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

    /// Returns what `add` makes of the objects below `url`, in JSON: see [`Cluster::fold`].
    pub(crate) async fn fold_pages<A, T>(
        &self,
        url: &str,
        extent: Extent,
        parameters: ListParams,
        patience: Patience,
        doing: &str,
        add: impl Fn(&mut A, Vec<T>),
    ) -> Result<A, CallError>
    where
        A: Default,
        T: DeserializeOwned + Send + 'static,
    {
        let fetch = |parameters: ListParams| async move {
            let request = Request::new(url);
            let list = match extent {
                Extent::Whole => request.list(&parameters),
                Extent::Metadata => request.list_metadata(&parameters),
            };
            Ok(JsonPage(self.client.request_text(list.map_err(kube::Error::BuildRequest)?).await?.into()))
        };
        self.fold(parameters, patience, doing, fetch, add).await
    }

    /// Returns what `add` makes of the objects of all pages, of which no more than two are kept at a time: while one is parsed, the next
    /// is on its way. A list that starts anew starts from nothing.
    pub(crate) async fn fold<A, T, P, F, Fut>(
        &self,
        parameters: ListParams,
        patience: Patience,
        doing: &str,
        fetch: F,
        add: impl Fn(&mut A, Vec<T>),
    ) -> Result<A, CallError>
    where
        A: Default,
        T: Send + 'static,
        P: Page<T>,
        F: Fn(ListParams) -> Fut,
        Fut: Future<Output = kube::Result<P>>,
    {
        let first = ListParams { limit: parameters.limit.or(Some(PAGE)), ..parameters };
        let fetch = |parameters: ListParams| {
            let fetch = &fetch;
            async move { self.call(Repeat::Read, patience, doing, || fetch(parameters.clone())).await }
        };
        let (mut found, mut restarts) = (A::default(), 0);
        let mut page = fetch(first.clone()).await?;
        loop {
            let following = page.following();
            let parsing = tokio::task::spawn_blocking(move || page.parse());
            let next = async {
                match following {
                    Some(token) => Some(fetch(first.clone().continue_token(&token)).await),
                    None => None,
                }
            };
            let (parsed, next) = tokio::join!(parsing, next);
            let (items, token) = parsed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())).map_err(CallError::Refused)?;
            add(&mut found, items);
            // A server that writes the metadata last is asked once its page has been read.
            let late = token.filter(|_| next.is_none());
            let next = match late {
                Some(token) => Some(fetch(first.clone().continue_token(&token)).await),
                None => next,
            };
            page = match next {
                None => return Ok(found),
                Some(Err(error)) if is_forgotten(&error) && restarts < RESTARTS => {
                    restarts += 1;
                    found = A::default();
                    fetch(first.clone()).await?
                }
                Some(page) => page?,
            };
        }
    }
}

/// A page of a list as it came, in some format.
pub(crate) trait Page<T>: Send + 'static {
    /// Returns where the list goes on, by the beginning of the page: API servers write the metadata before the items.
    fn following(&self) -> Option<String>;

    /// Returns the objects, and where the list goes on.
    fn parse(self) -> kube::Result<(Vec<T>, Option<String>)>;
}

/// A page in JSON.
pub(crate) struct JsonPage(pub(crate) Bytes);

impl<T: DeserializeOwned + Send + 'static> Page<T> for JsonPage {
    fn following(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Head {
            metadata: PageMetadata,
        }
        let end = memchr::memmem::find(&self.0, b"\"items\":")?;
        let head = std::str::from_utf8(&self.0[..end]).ok()?;
        let head = format!("{}}}", head.trim_end().trim_end_matches(','));
        serde_json::from_str::<Head>(&head).ok()?.metadata.following()
    }

    fn parse(self) -> kube::Result<(Vec<T>, Option<String>)> {
        #[derive(Deserialize)]
        struct Whole<T> {
            #[serde(default)]
            metadata: PageMetadata,
            items: Option<Vec<T>>,
        }
        let Whole { metadata, items } = serde_json::from_slice(&self.0).map_err(kube::Error::SerdeError)?;
        Ok((items.unwrap_or_default(), metadata.following()))
    }
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    continue_: Option<String>,
}

impl PageMetadata {
    fn following(self) -> Option<String> {
        self.continue_.filter(|token| !token.is_empty())
    }
}

/// Returns whether the server has forgotten a list that it was to continue.
fn is_forgotten(error: &CallError) -> bool {
    status(error).is_some_and(|status| status.code == 410)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_at_its_beginning_where_the_list_goes_on() {
        let following = |page: &'static str| Page::<serde_json::Value>::following(&JsonPage(Bytes::from_static(page.as_bytes())));
        let page = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"abc"},"items":[{"metadata":{}}]}"#;
        assert_eq!(following(page).as_deref(), Some("abc"));
        for page in [
            r#"{"metadata":{"continue":""},"items":[]}"#,
            r#"{"metadata":{},"items":[]}"#,
            r#"{"items":[],"metadata":{"continue":"x"}}"#,
            "<html>",
            "",
        ] {
            assert_eq!(following(page), None, "{page}");
        }
    }
}
