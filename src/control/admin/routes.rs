//! What is answered at which path.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::guard::Guard;
use super::shown::Shown;
use super::{AdminState, json, page, prometheus, v1};

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Nothing but our own style sheet and script, and nobody may frame the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

type Shared = State<Arc<AdminState>>;

pub(super) fn router(state: Arc<AdminState>, guard: Guard) -> Router {
    Router::new()
        .route("/", get(people))
        .route("/page.css", get(|| async { text("text/css; charset=utf-8", page::STYLE) }))
        .route("/page.js", get(|| async { text("text/javascript; charset=utf-8", page::SCRIPT) }))
        .route("/stats", get(stats))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { text(PLAIN, "ok\n") }))
        .route("/readyz", get(ready))
        .route("/config", get(config))
        .route("/reload", post(reload))
        .nest_service("/v1", v1::router(state.control.clone()))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(guard, keep_out))
        .with_state(state)
}

/// Refuses what [`Guard`] refuses, and adds the fields that every answer carries.
async fn keep_out(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match guard.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => problem(StatusCode::FORBIDDEN, refusal.detail()),
    };
    let fields = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(serde::Deserialize)]
struct PageQuery {
    fragment: Option<String>,
}

async fn people(State(state): Shared, Query(query): Query<PageQuery>) -> Response {
    let fragment = query.fragment.is_some();
    rendered(state, HTML, move |state| {
        let mut history = state.history();
        history.watched(Instant::now());
        page::render(&Shown::of(state), &history, fragment)
    })
    .await
}

async fn stats(State(state): Shared) -> Response {
    rendered(state, JSON, |state| {
        let recent = state.history().recent();
        json::render(&Shown::of(state), &recent)
    })
    .await
}

async fn metrics(State(state): Shared) -> Response {
    let render = |state: &AdminState| prometheus::render(&Shown::of(state));
    rendered(state, prometheus::CONTENT_TYPE, render).await
}

async fn config(State(state): Shared) -> Response {
    // Not application/toml: browsers would save it instead of showing it.
    rendered(state, PLAIN, |state| state.control.config()).await
}

async fn ready(State(state): Shared) -> Response {
    match state.ready() {
        Ok(()) => text(PLAIN, "ready\n"),
        Err(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, text(PLAIN, format!("{why}\n"))).into_response()
        }
    }
}

async fn reload(State(state): Shared) -> Response {
    let (status, body) = match state.control.reload().await {
        Ok(generation) => (StatusCode::OK, json!({ "generation": generation })),
        Err(mistakes) => (StatusCode::UNPROCESSABLE_ENTITY, json!({ "errors": mistakes })),
    };
    (status, text(JSON, format!("{body}\n"))).into_response()
}

async fn unknown(uri: Uri) -> Response {
    problem(StatusCode::NOT_FOUND, &format!("nothing here by the name of {}", uri.path()))
}

async fn wrong_method() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "another method is needed, see Allow")
}

/// An RFC 9457 problem.
fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = json!({ "title": title, "status": status.as_u16(), "detail": detail });
    (status, text("application/problem+json", format!("{body}\n"))).into_response()
}

fn text(content_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Renders off the runtime's own threads, a bounded number at a time.
async fn rendered(
    state: Arc<AdminState>,
    content_type: &'static str,
    render: impl FnOnce(&AdminState) -> String + Send + 'static,
) -> Response {
    let of = Arc::clone(&state);
    let Ok(_permit) = state.renderings.acquire().await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    };
    match tokio::task::spawn_blocking(move || render(&of)).await {
        Ok(body) => text(content_type, body),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "could not be rendered"),
    }
}
