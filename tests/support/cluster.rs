//! Stand-in until the embedded cluster is there: `TEST_DATABASE_URL` only.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub struct Cluster;

pub struct Database {
    url: String,
    name: String,
}

pub async fn shared() -> &'static Cluster {
    &Cluster
}

impl Cluster {
    pub async fn create_database(&self, template: Option<&str>) -> Database {
        let url = std::env::var("TEST_DATABASE_URL").unwrap();
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        let sql = match template {
            Some(template) => format!("CREATE DATABASE {name} TEMPLATE {template}"),
            None => format!("CREATE DATABASE {name}"),
        };
        let mut admin = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
        let (base, _) = url.rsplit_once('/').unwrap();
        Database { url: format!("{base}/{name}"), name }
    }
}

impl Database {
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn keep(self) -> String {
        self.name.clone()
    }
}
