//! Long lists, page by page, in the format in which the API server writes them quickest.
//!
//! Of Kubernetes' own objects every API server writes protobuf in a fifth of the time that JSON takes it, and it is the server that sets the
//! time of a long list. What answers in JSON all the same (a gateway that translates) is understood as well.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use kube::{
    api::ListParams,
    client::Body,
    core::{Request, Status, response::StatusDetails},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::protobuf::{self, List, ListHead};
use crate::kubernetes::{
    connect::Cluster,
    reading::{PAGE, RESTARTS, is_forgotten},
    retry::{CallError, Patience, Repeat},
};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const PROTOBUF_OR_JSON: HeaderValue = HeaderValue::from_static("application/vnd.kubernetes.protobuf, application/json;q=0.5");

/// An object of a list, in either format.
pub(super) trait Item: DeserializeOwned + From<Self::Message> + Send + 'static {
    /// The object in protobuf.
    type Message: prost::Message + Default;
}

/// A page as it came.
enum Page {
    Json(Bytes),
    Protobuf(Bytes),
}

impl Cluster {
    /// Returns what `add` makes of the objects below `url`, of which no more than two pages are kept at a time: while one is parsed,
    /// the next is on its way. A list that starts anew starts from nothing.
    pub(super) async fn fold_pages<A, T>(
        &self,
        url: &str,
        parameters: ListParams,
        patience: Patience,
        doing: &str,
        add: impl Fn(&mut A, Vec<T>),
    ) -> Result<A, CallError>
    where
        A: Default,
        T: Item,
    {
        let first = ListParams { limit: parameters.limit.or(Some(PAGE)), ..parameters };
        let fetch = |parameters: ListParams| async move { self.call(Repeat::Read, patience, doing, || self.page(url, &parameters)).await };
        let (mut found, mut restarts) = (A::default(), 0);
        let mut page = fetch(first.clone()).await?;
        loop {
            let following = page.following();
            let parsing = tokio::task::spawn_blocking(move || page.parse::<T>());
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

    /// Returns one list, whole.
    pub(super) async fn whole<T: Item>(&self, url: &str, parameters: &ListParams) -> kube::Result<Vec<T>> {
        self.page(url, parameters).await?.parse().map(|(items, _)| items)
    }

    async fn page(&self, url: &str, parameters: &ListParams) -> kube::Result<Page> {
        let mut request = Request::new(url).list(parameters).map_err(kube::Error::BuildRequest)?;
        request.headers_mut().insert(header::ACCEPT, PROTOBUF_OR_JSON);
        let (head, body) = self.client.send(request.map(Body::from)).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Page::of(&Response::from_parts(head, ()), body)
    }
}

impl Page {
    fn of(head: &Response<()>, body: Bytes) -> kube::Result<Self> {
        let content_type = head.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let page = if content_type.starts_with(PROTOBUF) { Self::Protobuf(protobuf::unwrapped(body)?) } else { Self::Json(body) };
        if head.status().is_success() { Ok(page) } else { Err(kube::Error::Api(Box::new(page.status(head.status())))) }
    }

    /// Returns why the server refused, in its own words.
    fn status(self, code: StatusCode) -> Status {
        let status = match self {
            Self::Json(body) => serde_json::from_slice(&body).ok(),
            Self::Protobuf(body) => protobuf::Status::of(body).ok().map(Status::from),
        };
        status.unwrap_or_else(|| Status::failure(code.canonical_reason().unwrap_or("an error without a name"), "").with_code(code.as_u16()))
    }

    /// Returns where the list goes on, by the beginning of the page: API servers write the metadata before the items.
    fn following(&self) -> Option<String> {
        match self {
            Self::Json(page) => continuation(page),
            Self::Protobuf(page) => ListHead::of(page.clone()).ok()?.following(),
        }
    }

    /// Returns the objects, and where the list goes on.
    fn parse<T: Item>(self) -> kube::Result<(Vec<T>, Option<String>)> {
        match self {
            Self::Json(page) => {
                let page: JsonPage<T> = serde_json::from_slice(&page).map_err(kube::Error::SerdeError)?;
                Ok((page.items.unwrap_or_default(), page.metadata.following()))
            }
            Self::Protobuf(page) => {
                let List { head, items } = List::<T::Message>::of(page)?;
                Ok((items.into_iter().map(T::from).collect(), head.following()))
            }
        }
    }
}

impl From<protobuf::Status> for Status {
    fn from(status: protobuf::Status) -> Self {
        let protobuf::Status { message, reason, details, code } = status;
        let details = details.unwrap_or_default();
        let details = StatusDetails {
            name: details.name,
            group: details.group,
            kind: details.kind,
            uid: details.uid,
            causes: Vec::new(),
            retry_after_seconds: details.retry_after_seconds.try_into().unwrap_or_default(),
        };
        Self::failure(&message, &reason).with_code(code.try_into().unwrap_or_default()).with_details(details)
    }
}

/// A page in JSON.
#[derive(Deserialize)]
struct JsonPage<T> {
    #[serde(default)]
    metadata: JsonMetadata,
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
struct JsonMetadata {
    #[serde(rename = "continue")]
    continue_: Option<String>,
}

impl JsonMetadata {
    fn following(self) -> Option<String> {
        self.continue_.filter(|token| !token.is_empty())
    }
}

fn continuation(page: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Head {
        metadata: JsonMetadata,
    }
    let end = memchr::memmem::find(page, b"\"items\":")?;
    let head = std::str::from_utf8(&page[..end]).ok()?;
    let head = format!("{}}}", head.trim_end().trim_end_matches(','));
    serde_json::from_str::<Head>(&head).ok()?.metadata.following()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_at_its_beginning_where_the_list_goes_on() {
        let page = br#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"abc"},"items":[{"metadata":{}}]}"#;
        assert_eq!(continuation(page).as_deref(), Some("abc"));
        for page in [
            r#"{"metadata":{"continue":""},"items":[]}"#,
            r#"{"metadata":{},"items":[]}"#,
            r#"{"items":[],"metadata":{"continue":"x"}}"#,
            "<html>",
            "",
        ] {
            assert_eq!(continuation(page.as_bytes()), None, "{page}");
        }
    }
}
