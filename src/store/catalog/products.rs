//! Products, with the ids of their metrics and plans.

use std::collections::BTreeMap;
use std::fmt;

use rusqlite::{OptionalExtension, Row, params};

use super::pages::{List, Page, Paged};
use super::rows::{Origin, ProductRow};
use super::secrets::random_text;
use super::sqlite::{Json, Sqlite, expected, key, number};
use crate::config::file;
use crate::store::{ErrorKind, StoreError};

/// A plan that applications have and their product has no more: they would be nobody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPlan {
    /// The product's name.
    pub product: String,
    /// The plan's.
    pub plan: String,
    /// How many applications have it.
    pub applications: u64,
}

impl fmt::Display for MissingPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { product, plan, applications } = self;
        let have = if *applications == 1 { "application has" } else { "applications have" };
        write!(
            f,
            "products.{product}.plans.{plan}: {applications} {have} this plan of the product: keep it, \
             or give them another one first (`tollgate apps update ID --plan NAME`)"
        )
    }
}

/// Products.
pub trait Products {
    /// The product of this id.
    fn product(&self, id: u64) -> Result<Option<ProductRow>, StoreError>;

    /// The product of this name.
    fn product_named(&self, name: &str) -> Result<Option<ProductRow>, StoreError>;

    /// Products, those of an origin where one is given.
    fn products(&self, origin: Option<Origin>, page: Page)
    -> Result<Paged<ProductRow>, StoreError>;

    /// Makes the product, or puts it in the place of the one with its name; gives ids to metrics,
    /// methods and plans that are new. With `expect` 0 there must be none yet. A row that was made by
    /// the API can become the file's, not the other way round.
    ///
    /// # Errors
    /// `Changed`; `Duplicate` and `NotFound` where `expect` says otherwise; `Declared` where it is the
    /// file's; `Referenced` where a plan that goes has applications.
    fn put_product(
        &self,
        name: &str,
        origin: Origin,
        definition: &file::Product,
        expect: Option<u64>,
        now: i64,
    ) -> Result<ProductRow, StoreError>;

    /// Deletes a product, with its metrics and plans.
    ///
    /// # Errors
    /// `NotFound`, `Changed`; `Declared` where it is the file's and `origin` is not; `Referenced` where
    /// it has applications.
    fn delete_product(
        &self,
        id: u64,
        origin: Origin,
        expect: Option<u64>,
    ) -> Result<(), StoreError>;

    /// Plans that applications have and this definition of their product has not.
    fn missing_plans(
        &self,
        name: &str,
        definition: &file::Product,
    ) -> Result<Vec<MissingPlan>, StoreError>;

    /// Makes another secret for upstreams, sent from `at` on: until then they are told of it, and
    /// take both. One that waits already and is not due is replaced.
    fn rotate_product_secret(&self, id: u64, at: i64, now: i64) -> Result<ProductRow, StoreError>;

    /// Puts secrets that are due in the place of those before them; says whose.
    fn settle_product_secrets(&self, now: i64) -> Result<Vec<u64>, StoreError>;
}

const SELECT: &str = "SELECT * FROM products";

impl Products for Sqlite<'_> {
    fn product(&self, id: u64) -> Result<Option<ProductRow>, StoreError> {
        let query = format!("{SELECT} WHERE id = ?1");
        let row = self.connection.query_row(&query, [key(id)], product).optional()?;
        row.map(|row| self.with_ids(row)).transpose()
    }

    fn product_named(&self, name: &str) -> Result<Option<ProductRow>, StoreError> {
        let query = format!("{SELECT} WHERE name = ?1");
        let row = self.connection.query_row(&query, [name], product).optional()?;
        row.map(|row| self.with_ids(row)).transpose()
    }

    fn products(
        &self,
        origin: Option<Origin>,
        page: Page,
    ) -> Result<Paged<ProductRow>, StoreError> {
        let Paged { rows, more } =
            List::of(SELECT).only("origin = ?", origin).page(self, page, product)?;
        let rows = rows.into_iter().map(|row| self.with_ids(row)).collect::<Result<_, _>>()?;
        Ok(Paged { rows, more })
    }

    fn put_product(
        &self,
        name: &str,
        origin: Origin,
        definition: &file::Product,
        expect: Option<u64>,
        now: i64,
    ) -> Result<ProductRow, StoreError> {
        let id = match (self.product_named(name)?, expect) {
            (Some(_), Some(0)) => {
                let text = format!("a product named {name} is there already");
                return Err(StoreError::new(ErrorKind::Duplicate, text));
            }
            (None, Some(1..)) => return Err(StoreError::not_found("the product")),
            (None, _) => self.insert_product(name, origin, definition, now)?,
            (Some(found), expect) => {
                changeable(&found, origin)?;
                expected(found.version, expect)?;
                self.replace_product(&found, origin, definition, now)?;
                found.id
            }
        };
        let attributes = definition.plans.values().flat_map(|plan| plan.attributes.keys());
        self.keep_attribute_names(attributes)?;
        self.name_metrics(id, definition)?;
        let missing = self.missing_plans(name, definition)?;
        if !missing.is_empty() {
            let told: Vec<_> = missing.iter().map(MissingPlan::to_string).collect();
            return Err(StoreError::new(ErrorKind::Referenced, told.join("; ")));
        }
        self.name_plans(id, definition)?;
        self.known_product(id)
    }

    fn delete_product(
        &self,
        id: u64,
        origin: Origin,
        expect: Option<u64>,
    ) -> Result<(), StoreError> {
        let found = self.known_product(id)?;
        changeable(&found, origin)?;
        expected(found.version, expect)?;
        let metrics = self.names("metrics", id)?;
        self.names("plans", id)?.into_values().try_for_each(|plan| self.remember_plan(plan))?;
        let gone = self.connection.execute("DELETE FROM products WHERE id = ?1", [key(id)]);
        gone.map_err(|error| StoreError::from(error).referenced("the product"))?;
        // Bills name what was counted.
        let query = "INSERT INTO gone_metrics (id, product, name) VALUES (?1, ?2, ?3)";
        for (name, metric) in metrics {
            self.connection.execute(query, params![metric, found.name, name])?;
        }
        Ok(())
    }

    fn missing_plans(
        &self,
        name: &str,
        definition: &file::Product,
    ) -> Result<Vec<MissingPlan>, StoreError> {
        let find = "SELECT id FROM products WHERE name = ?1";
        let product =
            self.connection.query_row(find, [name], |row| number(row, "id")).optional()?;
        let mut missing = Vec::new();
        for (plan, id) in product.map(|id| self.names("plans", id)).transpose()?.unwrap_or_default()
        {
            if definition.plans.contains_key(&plan) {
                continue;
            }
            let count = "SELECT count(*) AS n FROM applications WHERE plan = ?1";
            let applications = self.connection.query_row(count, [id], |row| number(row, "n"))?;
            if applications > 0 {
                missing.push(MissingPlan { product: name.to_owned(), plan, applications });
            }
        }
        Ok(missing)
    }

    fn rotate_product_secret(&self, id: u64, at: i64, now: i64) -> Result<ProductRow, StoreError> {
        let found = self.known_product(id)?;
        let query = "UPDATE products SET secret = ?2, next_secret = ?3, next_secret_at = ?4,
                         version = version + 1, updated_at = ?5 WHERE id = ?1";
        let next = product_secret()?;
        self.connection.execute(query, params![key(id), found.secret_at(now), next, at, now])?;
        self.known_product(id)
    }

    fn settle_product_secrets(&self, now: i64) -> Result<Vec<u64>, StoreError> {
        let query = "UPDATE products SET secret = next_secret, next_secret = NULL,
                         next_secret_at = NULL, version = version + 1, updated_at = ?1
                     WHERE next_secret_at <= ?1 RETURNING id";
        let mut statement = self.connection.prepare(query)?;
        let settled = statement.query_map([now], |row| number(row, "id"))?;
        Ok(settled.collect::<rusqlite::Result<_>>()?)
    }
}

impl Sqlite<'_> {
    fn known_product(&self, id: u64) -> Result<ProductRow, StoreError> {
        self.product(id)?.ok_or_else(|| StoreError::not_found("the product"))
    }

    fn insert_product(
        &self,
        name: &str,
        origin: Origin,
        definition: &file::Product,
        now: i64,
    ) -> Result<u64, StoreError> {
        let query = "INSERT INTO products
                         (name, origin, definition, secret, version, created_at, updated_at)
                     VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5) RETURNING id";
        let values = params![name, origin, Json(definition), product_secret()?, now];
        Ok(self.connection.query_row(query, values, |row| number(row, "id"))?)
    }

    fn replace_product(
        &self,
        found: &ProductRow,
        origin: Origin,
        definition: &file::Product,
        now: i64,
    ) -> Result<(), StoreError> {
        let query = "UPDATE products SET origin = ?2, definition = ?3, version = version + 1,
                         updated_at = ?4 WHERE id = ?1";
        let values = params![key(found.id), origin, Json(definition), now];
        self.connection.execute(query, values)?;
        Ok(())
    }

    fn name_metrics(&self, product: u64, definition: &file::Product) -> Result<(), StoreError> {
        let query = "INSERT OR IGNORE INTO metrics (product, name) VALUES (?1, ?2)";
        let mut statement = self.connection.prepare(query)?;
        for name in metric_names(definition) {
            statement.execute(params![key(product), name])?;
        }
        Ok(())
    }

    fn name_plans(&self, product: u64, definition: &file::Product) -> Result<(), StoreError> {
        let had = self.names("plans", product)?;
        for (_, id) in had.iter().filter(|(name, _)| !definition.plans.contains_key(*name)) {
            self.remember_plan(*id)?;
            self.connection.execute("DELETE FROM plans WHERE id = ?1", [id])?;
        }
        let query = "INSERT INTO plans (product, name) VALUES (?1, ?2)";
        for name in definition.plans.keys().filter(|name| !had.contains_key(*name)) {
            self.connection.execute(query, params![key(product), name])?;
        }
        Ok(())
    }

    /// Keeps what bills call a plan that goes: it may have let something in.
    fn remember_plan(&self, id: u32) -> Result<(), StoreError> {
        let query = "INSERT INTO gone_plans (id, name) SELECT id, name FROM plans WHERE id = ?1";
        self.connection.execute(query, [id])?;
        Ok(())
    }

    /// Ids by name in a table of a product's names.
    fn names(&self, table: &str, product: u64) -> Result<BTreeMap<String, u32>, StoreError> {
        let query = format!("SELECT name, id FROM {table} WHERE product = ?1");
        let mut statement = self.connection.prepare(&query)?;
        let found = statement.query_map([key(product)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    fn with_ids(&self, row: ProductRow) -> Result<ProductRow, StoreError> {
        let mut metrics = self.names("metrics", row.id)?;
        let current: Vec<&str> = metric_names(&row.definition).collect();
        metrics.retain(|name, _| current.contains(&name.as_str()));
        let plans = self.names("plans", row.id)?;
        Ok(ProductRow { metrics, plans, ..row })
    }
}

/// All that usage of a product is counted by.
fn metric_names(definition: &file::Product) -> impl Iterator<Item = &str> {
    let metrics = definition.metrics.iter().map(|metric| metric.name.as_str());
    let methods = definition.methods.iter().map(|method| method.name.as_str());
    ["hits"].into_iter().chain(metrics).chain(methods)
}

fn product_secret() -> Result<String, StoreError> {
    random_text("tgs_", 40)
}

fn changeable(found: &ProductRow, origin: Origin) -> Result<(), StoreError> {
    if found.origin == Origin::File && origin != Origin::File {
        let text =
            format!("product {} is declared in the configuration: change it there", found.name);
        return Err(StoreError::new(ErrorKind::Declared, text));
    }
    Ok(())
}

/// Without ids of metrics and plans.
fn product(row: &Row<'_>) -> rusqlite::Result<ProductRow> {
    Ok(ProductRow {
        id: number(row, "id")?,
        name: row.get("name")?,
        origin: row.get("origin")?,
        definition: row.get::<_, Json<_>>("definition")?.0,
        metrics: BTreeMap::new(),
        plans: BTreeMap::new(),
        secret: row.get("secret")?,
        next_secret: row.get("next_secret")?,
        next_secret_at: row.get("next_secret_at")?,
        version: number(row, "version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}
