//! Names of fields by which upstreams are told of callers, now or before.

use crate::limits::ATTRIBUTE_NAMES_MAX;
use crate::store::{ErrorKind, StoreError};

use super::sqlite::{Sqlite, number};

/// Their table. A name stays when nobody has the attribute any more: upstreams may believe it still.
pub(in crate::store) const SCHEMA: &str = "
     CREATE TABLE attribute_names (
         -- In lower case.
         name TEXT PRIMARY KEY
     ) STRICT, WITHOUT ROWID;
     INSERT OR IGNORE INTO attribute_names
         SELECT lower(a.key) FROM accounts, json_each(accounts.attributes) AS a
         UNION SELECT lower(a.key) FROM applications, json_each(applications.attributes) AS a
         UNION SELECT lower(a.key) FROM products,
             json_each(products.definition, '$.plans') AS p,
             json_each(p.value, '$.attributes') AS a;";

/// Names of attributes.
pub trait AttributeNames {
    /// All that plans, accounts and applications have or had, in lower case.
    fn attribute_names(&self) -> Result<Vec<String>, StoreError>;
}

impl AttributeNames for Sqlite<'_> {
    fn attribute_names(&self) -> Result<Vec<String>, StoreError> {
        let mut query = self.connection.prepare("SELECT name FROM attribute_names")?;
        let names = query.query_map([], |row| row.get(0))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }
}

impl Sqlite<'_> {
    /// Notes names that are new.
    pub(super) fn keep_attribute_names<'n>(
        &self,
        names: impl Iterator<Item = &'n String>,
    ) -> Result<(), StoreError> {
        let query = "INSERT OR IGNORE INTO attribute_names (name) VALUES (?1)";
        let mut new = 0;
        for name in names {
            new += self.connection.execute(query, [name.to_ascii_lowercase()])?;
        }
        let query = "SELECT count(*) AS n FROM attribute_names";
        if new > 0
            && self.connection.query_row(query, [], |row| number(row, "n"))? > ATTRIBUTE_NAMES_MAX
        {
            let text = format!(
                "attributes have {ATTRIBUTE_NAMES_MAX} names in all, as many as may be (those that \
                 nobody has any more stay taken from clients)"
            );
            return Err(StoreError::new(ErrorKind::TooMany, text));
        }
        Ok(())
    }
}
