//! Runs a scenario on every deployment that people have.

/// Makes a test of each named scenario on the embedded homeserver and on Synapse, over both XMPP servers, and with homeserver and
/// bridge in one process over Prosody.
macro_rules! everywhere {
    ($($scenario:ident,)+) => {
        crate::xmpp::everywhere::on!(embedded_prosody, over_prosody(landbridge_tests::On::Embedded), $($scenario,)+);
        crate::xmpp::everywhere::on!(embedded_ejabberd, over_ejabberd(landbridge_tests::On::Embedded), $($scenario,)+);
        crate::xmpp::everywhere::on!(in_one_prosody, in_one_over_prosody(), $($scenario,)+);
        crate::xmpp::everywhere::on!(synapse_prosody, over_prosody(landbridge_tests::On::Synapse), $($scenario,)+);
        crate::xmpp::everywhere::on!(synapse_ejabberd, over_ejabberd(landbridge_tests::On::Synapse), $($scenario,)+);
    };
}
pub(crate) use everywhere;

/// Makes a test of each named scenario on one deployment.
macro_rules! on {
    ($name:ident, $over:ident $on:tt, $($scenario:ident,)+) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $scenario() {
                    let deployment = Box::pin(landbridge_tests::XmppDeployment::$over $on).await;
                    Box::pin(super::$scenario(deployment)).await;
                }
            )+
        }
    };
}
pub(crate) use on;
