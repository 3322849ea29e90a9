//! Runs a scenario on every deployment that people have.

use landbridge_tests::{Deployment, On, Over, With};

/// The channel that every deployment bridges from the start.
pub(crate) const LOBBY: &str = "#lobby";

/// Makes a test of each named scenario on the embedded homeserver and on Synapse, over both IRC servers.
macro_rules! everywhere {
    ($($scenario:ident,)+) => {
        crate::everywhere::on!(embedded_ngircd, Embedded, Ngircd, Sqlite, $($scenario,)+);
        crate::everywhere::on!(embedded_inspircd, Embedded, Inspircd, Sqlite, $($scenario,)+);
        crate::everywhere::on!(synapse_ngircd_postgres, Synapse, Ngircd, Postgres, $($scenario,)+);
        crate::everywhere::on!(synapse_inspircd, Synapse, Inspircd, Sqlite, $($scenario,)+);
    };
}
pub(crate) use everywhere;

/// Makes a test of each named scenario on one deployment.
macro_rules! on {
    ($name:ident, $on:ident, $over:ident, $with:ident, $($scenario:ident,)+) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $scenario() {
                    use landbridge_tests::{On, Over, With};
                    let deployment = crate::everywhere::start(On::$on, Over::$over, With::$with).await;
                    Box::pin(super::$scenario(deployment)).await;
                }
            )+
        }
    };
}
pub(crate) use on;

/// Starts a deployment that bridges [`LOBBY`].
pub(crate) async fn start(on: On, over: Over, with: With) -> Deployment {
    Box::pin(Deployment::start(on, over, with, &[LOBBY])).await
}

/// What was heard, as pairs to compare with.
pub(crate) fn said<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    lines.into_iter().map(|(who, what)| (who.to_owned(), what.to_owned())).collect()
}
