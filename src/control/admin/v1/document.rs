//! The OpenAPI document, made of the code that answers.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder, Schema, ServerBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Flaw, Problem};
use super::{
    Api, accounts, applications, audit, exports, keys, plans, products, signups, tokens, usage,
};

/// What stands above the paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollgate's admin API",
        description = "Products, plans, accounts, applications and keys: who may call, and how much."
    ),
    components(schemas(Problem, Flaw)),
    security(("token" = []))
)]
struct Head;

/// The routes, and the document of them at `/openapi.json`.
pub(super) fn routes() -> Router<Api> {
    let (router, document) = OpenApiRouter::with_openapi(Head::openapi())
        .routes(routes!(products::list, products::create))
        .routes(routes!(products::show, products::put, products::patch, products::remove))
        .routes(routes!(products::secret))
        .routes(routes!(plans::list, plans::create))
        .routes(routes!(plans::show, plans::put, plans::patch, plans::remove))
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::show, accounts::patch, accounts::remove))
        .routes(routes!(applications::list, applications::create))
        .routes(routes!(applications::show, applications::patch, applications::remove))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(signups::create))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::show, tokens::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(usage::list))
        .routes(routes!(keys::all))
        .routes(routes!(exports::list, exports::create))
        .routes(routes!(exports::show))
        .routes(routes!(exports::confirm))
        .routes(routes!(exports::rows))
        .split_for_parts();
    let document = finished(document);
    router.route("/openapi.json", get(|| async move { Json(document) }))
}

/// With what holds for every call.
fn finished(mut document: openapi::OpenApi) -> openapi::OpenApi {
    document.servers = Some(vec![ServerBuilder::new().url("/v1").build()]);
    let components = document.components.get_or_insert_default();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let schema = Ref::from_schema_name("Problem");
    let refusal = ResponseBuilder::new()
        .description("Refused: problem details say why")
        .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build())
        .build();
    // A part of a resource: of what stands in a patch's body, nothing must be there.
    for name in ["AccountBody", "ApplicationBody", "PlanBody", "ProductBody"] {
        if let Some(RefOr::T(Schema::Object(whole))) = components.schemas.get(name) {
            let mut part = whole.clone();
            part.required.clear();
            let part = RefOr::T(Schema::Object(part));
            components.schemas.insert(format!("{name}Patch"), part);
        }
    }
    for item in document.paths.paths.values_mut() {
        let patch = item.patch.as_mut().and_then(|patch| patch.request_body.as_mut());
        let Some(RefOr::T(body)) = patch else { continue };
        for content in body.content.values_mut() {
            let RefOr::T(content) = content else { continue };
            if let Some(RefOr::Ref(whole)) = &mut content.schema {
                whole.ref_location.push_str("Patch");
            }
        }
    }
    for item in document.paths.paths.values_mut() {
        let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in all.into_iter().flatten() {
            let refusal = RefOr::T(refusal.clone());
            operation.responses.responses.insert("default".into(), refusal);
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_name_and_says_how_it_refuses() {
        let (_, document) = OpenApiRouter::<Api>::with_openapi(Head::openapi())
            .routes(routes!(accounts::list, accounts::create))
            .split_for_parts();
        let json = serde_json::to_value(finished(document)).unwrap();
        let list = &json["paths"]["/accounts"]["get"];
        assert_eq!(json["openapi"], "3.1.0");
        assert!(list["operationId"].is_string());
        let refused = &list["responses"]["default"]["content"]["application/problem+json"];
        assert_eq!(refused["schema"]["$ref"], "#/components/schemas/Problem");
        assert!(json["components"]["schemas"]["Problem"].is_object());
        assert_eq!(json["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    }
}
