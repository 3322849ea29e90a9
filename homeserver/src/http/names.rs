//! Requests of application services that named events themselves: wherever such a name is said, the event is meant, and what such a
//! service reads of a room has its names. Everybody else sees the events' own ids.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, FutureExt as _};
use http::{Method, Uri, header, request, uri::PathAndQuery};
use landbridge_axum_ruma::{MatrixError, Turn, bearer_token};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, value::RawValue};
use tower::{Layer, Service, ServiceExt as _};

use super::{ApiState, MAX_BODY_BYTES, error::ApiError};
use crate::{
    appservice::{Appservice, Appservices, Names},
    rooms::mentions,
};

/// The longest answer in which names are looked for; a page of a thousand of the largest events is shorter.
const MAX_ANSWER: usize = 128 * 1024 * 1024;

/// Has names mean events. `plain` is the same router without this: requests that are changed begin anew there, because a router reads a
/// path before its layers run.
pub(super) fn named(router: Router<ApiState>, state: &ApiState, plain: Router) -> Router<ApiState> {
    let (names, appservices) = (state.parts.names.clone(), state.parts.appservices.clone());
    router.layer(NamedLayer(Arc::new(Shared { names, appservices, plain })))
}

struct Shared {
    names: Names,
    appservices: Appservices,
    plain: Router,
}

#[derive(Clone)]
struct NamedLayer(Arc<Shared>);

impl<S> Layer<S> for NamedLayer {
    type Service = Named<S>;

    fn layer(&self, inner: S) -> Named<S> {
        Named { inner, shared: self.0.clone() }
    }
}

/// A service and not a function over requests: those of others keep nothing of it.
#[derive(Clone)]
struct Named<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for Named<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Some(appservice) = self.shared.asking(&request) else { return Either::Left(self.inner.call(request)) };
        let clone = self.inner.clone();
        // The one that is ready is the one that is called.
        let inner = std::mem::replace(&mut self.inner, clone);
        let shared = self.shared.clone();
        Either::Right(async move { Ok(shared.serve(inner, &appservice, request).await) }.boxed())
    }
}

impl Shared {
    /// The service whose names a request may hold: it is about events, and none of what names them.
    fn asking(&self, request: &Request) -> Option<Arc<Appservice>> {
        let path = request.uri().path();
        if !self.names.any() || !is_about_events(path) || path.contains("/com.beeper.backfill/") {
            return None;
        }
        let token = bearer_token(request.headers(), request.uri()).ok().flatten()?;
        self.appservices.by_token(&token)
    }

    async fn serve<S>(&self, inner: S, appservice: &Appservice, request: Request) -> Response
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let reads = request.method() == Method::GET || is_question(request.uri().path());
        let response = match self.understood(appservice, request).await {
            Ok(Understood::AsItIs(request)) => inner.oneshot(request).await,
            Ok(Understood::Changed(request)) => self.plain.clone().oneshot(request).await,
            Err(error) => return error.into_response(),
        };
        let Ok(response) = response;
        if reads { self.told(appservice, response).await } else { response }
    }

    /// A request in which the service's names are the ids of events.
    async fn understood(&self, appservice: &Appservice, request: Request) -> Result<Understood, ApiError> {
        let (mut head, body) = request.into_parts();
        let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| MatrixError::too_large())?;
        let mut said = BTreeSet::new();
        said.extend(segments(&head.uri).filter(|segment| segment.starts_with('$')));
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        if let Some(value) = &value {
            mentions::mentioned(value, &mut said);
        }
        let meant = self.names.meant(appservice.id(), &said).await?;
        if meant.is_empty() {
            return Ok(Understood::AsItIs(Request::from_parts(head, Body::from(body))));
        }
        head.uri = with_ids(&head.uri, &meant).ok_or_else(MatrixError::internal)?;
        let body = match value.and_then(|mut value| mentions::replace(&mut value, &meant).then_some(value)) {
            Some(value) => {
                head.headers.remove(header::CONTENT_LENGTH);
                serde_json::to_vec(&value).map(Bytes::from).map_err(|_| MatrixError::internal())?
            }
            None => body,
        };
        Ok(Understood::Changed(anew(head, body)))
    }

    /// An answer in which the events that the service named have their names.
    async fn told(&self, appservice: &Appservice, response: Response) -> Response {
        let (mut head, body) = response.into_parts();
        let Ok(body) = to_bytes(body, MAX_ANSWER).await else { return MatrixError::internal().into_response() };
        let Ok(raw) = serde_json::from_slice::<&RawValue>(&body) else {
            return Response::from_parts(head, Body::from(body));
        };
        match self.names.call(appservice.id(), &[raw]).await.map(|mut called| called.pop().flatten()) {
            Ok(Some(called)) => {
                head.headers.remove(header::CONTENT_LENGTH);
                Response::from_parts(head, Body::from(called.to_string()))
            }
            Ok(None) => Response::from_parts(head, Body::from(body)),
            Err(error) => ApiError::from(error).into_response(),
        }
    }
}

/// Whether events are asked for, or for what is said of them, though the request changes nothing.
fn is_question(path: &str) -> bool {
    path.starts_with("/_matrix/client/") && (path.ends_with("/sync") || path.ends_with("/search"))
}

/// Whether events may be named in a request or its answer.
fn is_about_events(path: &str) -> bool {
    path.contains("/rooms/")
        || path.contains("/events/")
        || is_question(path)
        || path.ends_with("/initialSync")
        || path.ends_with("/notifications")
}

/// A request, once its names were looked at.
enum Understood {
    AsItIs(Request),
    Changed(Request),
}

/// A request that no router has seen, with what it brought along.
fn anew(head: request::Parts, body: Bytes) -> Request {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    if let Some(turn) = head.extensions.get::<Turn>() {
        request.extensions_mut().insert(turn.clone());
    }
    if let Some(peer) = head.extensions.get::<ConnectInfo<SocketAddr>>() {
        request.extensions_mut().insert(*peer);
    }
    request
}

fn segments(uri: &Uri) -> impl Iterator<Item = String> + '_ {
    uri.path().split('/').filter_map(|segment| Some(percent_decode_str(segment).decode_utf8().ok()?.into_owned()))
}

/// A path with ids in place of names.
fn with_ids(uri: &Uri, meant: &HashMap<String, String>) -> Option<Uri> {
    let named = |segment: &str| {
        let id = meant.get(&*percent_decode_str(segment).decode_utf8().ok()?)?;
        Some(utf8_percent_encode(id, NON_ALPHANUMERIC).to_string())
    };
    let path: Vec<String> =
        uri.path().split('/').map(|segment| named(segment).unwrap_or_else(|| segment.to_owned())).collect();
    let mut path = path.join("/");
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_ids_in_place_of_names_and_nothing_else_of_it_changes() {
        let uri: Uri = "/_matrix/client/v3/rooms/!r%3Ax/event/%24n%3Ax?user_id=%40a%3Ab".parse().unwrap();
        let meant = HashMap::from([("$n:x".to_owned(), "$real".to_owned())]);
        let changed = with_ids(&uri, &meant).unwrap();
        assert_eq!(changed, "/_matrix/client/v3/rooms/!r%3Ax/event/%24real?user_id=%40a%3Ab");
        assert_eq!(segments(&uri).last().as_deref(), Some("$n:x"));
    }
}
