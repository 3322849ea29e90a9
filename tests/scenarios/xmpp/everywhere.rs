//! Runs a scenario on every deployment that people have.

/// Makes a test of each named scenario on the embedded homeserver and on Synapse, over both XMPP servers.
macro_rules! everywhere {
    ($($scenario:ident,)+) => {
        crate::xmpp::everywhere::on!(embedded_prosody, Embedded, over_prosody, $($scenario,)+);
        crate::xmpp::everywhere::on!(embedded_ejabberd, Embedded, over_ejabberd, $($scenario,)+);
        crate::xmpp::everywhere::on!(synapse_prosody, Synapse, over_prosody, $($scenario,)+);
        crate::xmpp::everywhere::on!(synapse_ejabberd, Synapse, over_ejabberd, $($scenario,)+);
    };
}
pub(crate) use everywhere;

/// Makes a test of each named scenario on one deployment.
macro_rules! on {
    ($name:ident, $on:ident, $over:ident, $($scenario:ident,)+) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $scenario() {
                    let deployment = Box::pin(landbridge_tests::XmppDeployment::$over(landbridge_tests::On::$on)).await;
                    Box::pin(super::$scenario(deployment)).await;
                }
            )+
        }
    };
}
pub(crate) use on;
