//! Products that stand in the configuration, and what their applications keep in them.

use std::process::Command;

use serde_json::json;

use crate::admin_api::Api;
use crate::harness::{BINARY, Driver};

const PLANS: &str = "[store]\npath = \"store.db\"\n[products.shop.plans.bronze]\n\
     [upstreams.app]\ntargets = [\"127.0.0.1:9\"]\n\
     [products.shop.plans.gold]\n\
     [[routes]]\nname = \"all\"\npath = \"/*\"\nproduct = \"shop\"\nupstream = \"app\"\n";

both_drivers!(a_plan_that_applications_have_is_kept_or_they_get_another,);

fn a_plan_that_applications_have_is_kept_or_they_get_another(driver: Driver) {
    let mut api = Api::with(driver, PLANS);
    for name in ["acme", "other"] {
        let application = json!({ "name": "app", "product": "shop", "plan": "bronze" });
        let account = json!({ "name": name });
        let credential = json!({ "kind": "user_key" });
        let body =
            json!({ "account": account, "application": application, "credential": credential });
        api.make("/signups", &body);
    }
    let renamed = PLANS.replace("plans.bronze", "plans.silver");
    api.gateway.rewrite(&renamed);
    let why = "products.shop.plans.bronze: 2 applications have this plan of the product: keep it, or \
               give them another one first (`tollgate apps update ID --plan NAME`)";
    let checked = check(&api);
    assert!(
        !checked.0 && checked.1.contains(&format!("tollgate.toml: error: {why}\n")),
        "{checked:?}"
    );
    let refused = api.gateway.admin_post("/reload");
    assert!(refused.status >= 400 && refused.text().contains("products.shop.plans.bronze: 2"));
    // Nothing has changed, and the next start says the same.
    api.gateway.signal(libc::SIGTERM);
    api.gateway.wait_exit();
    let config = api.gateway.config().display().to_string();
    let run = api.cli(&["run", "-c", &config]);
    assert_eq!(
        String::from_utf8_lossy(&run.stderr).lines().last(),
        Some(&*format!("tollgate: {why}"))
    );
    api.gateway.rewrite(PLANS);
    assert!(check(&api).0);
}

/// Whether `tollgate check` finds no mistakes, and what it says.
fn check(api: &Api) -> (bool, String) {
    let mut command = Command::new(BINARY);
    let output = command.args(["check", "-c"]).arg(api.gateway.config()).output();
    let output = output.expect("the binary runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}
