//! `landbridge registration`

use std::{
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, bail};
use landbridge_registration::{
    Builder, Namespace, Overlap, Overlapping, Overwrite, Registration, RegistrationSet, overlaps, read, write,
};
use ruma::{OwnedServerName, ServerName, server_name};

use crate::args::{GenerateArgs, RegistrationCommand};

pub(crate) fn main(command: RegistrationCommand) -> anyhow::Result<()> {
    match command {
        RegistrationCommand::Generate(args) => generate(args),
        RegistrationCommand::Check { files, server_name } => check(&files, server_name),
    }
}

fn generate(args: GenerateArgs) -> anyhow::Result<()> {
    let registration = build(&args)?;
    let Some(path) = &args.output else {
        io::stdout().write_all(registration.to_yaml()?.as_bytes())?;
        return Ok(());
    };
    let overwrite = if args.force { Overwrite::Replace } else { Overwrite::Never };
    write(path, &registration, overwrite).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow::anyhow!("{} exists. Its tokens may be in use; --force replaces them.", path.display())
        }
        _ => anyhow::Error::new(error).context(format!("{} cannot be written", path.display())),
    })?;
    println!("{}", after_generation(path));
    Ok(())
}

/// The registration that these arguments ask for.
fn build(args: &GenerateArgs) -> anyhow::Result<Registration> {
    let network = args.network.name();
    let id = args.id.clone().unwrap_or_else(|| network.to_owned());
    let sender = args.sender.clone().unwrap_or_else(|| format!("{network}bot"));
    let prefix = args.prefix.clone().unwrap_or_else(|| format!("{network}_"));
    let (users, aliases) = match &args.server_name {
        Some(server) => {
            (Namespace::users_with_prefix(&prefix, server), Namespace::aliases_with_prefix(&prefix, server))
        }
        None => (Namespace::any_users_with_prefix(&prefix), Namespace::any_aliases_with_prefix(&prefix)),
    };
    // What clients type and whom they read is for the bridge, too.
    let builder = Builder::new(&id, &sender).url(&args.url).protocol(network).ephemeral(true);
    Ok(builder.user_namespace(users).alias_namespace(aliases).build()?)
}

fn after_generation(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = absolute.display();
    format!(
        "Wrote {path}, readable by you alone.\n\
         \n\
         Let your homeserver read it. For Synapse, in homeserver.yaml, and then restart it:\n\
         \n  app_service_config_files:\n    - {path}\n\
         \n\
         Name it in the bridge's configuration: `registration: {path}`, and run `landbridge check`."
    )
}

fn check(files: &[impl AsRef<Path>], server_name: Option<OwnedServerName>) -> anyhow::Result<()> {
    let (mut registrations, mut faulty) = (Vec::new(), false);
    for file in files {
        match read(file.as_ref()) {
            Ok(registration) => {
                for advice in registration.advice() {
                    println!("{}: advice: {advice}", file.as_ref().display());
                }
                registrations.push(registration);
            }
            Err(error) => {
                faulty = true;
                println!("{error}");
            }
        }
    }
    for overlap in overlaps(&registrations, server_name.as_deref()) {
        println!("advice: {}", describe(&overlap));
    }
    let any_server: &ServerName = server_name.as_deref().unwrap_or(server_name!("localhost"));
    if let Err(faults) = RegistrationSet::new(registrations, any_server).map(drop) {
        faulty = true;
        println!("{faults}");
    }
    if faulty {
        bail!("not every registration can be used");
    }
    println!("{} can be used.", if files.len() == 1 { "The registration" } else { "The registrations" });
    Ok(())
}

/// An overlap in a sentence.
pub(crate) fn describe(Overlap { kind, one, other, overlapping }: &Overlap) -> String {
    let claims = format!(
        "`{}` ({} of registration {}) and `{}` ({} of registration {})",
        one.claim, one.path, one.registration, other.claim, other.path, other.registration
    );
    match overlapping {
        Overlapping::Witness(witness) => {
            format!("{claims} both claim {kind} such as {witness} for themselves alone. Change one of them.")
        }
        Overlapping::Undecided => {
            format!("{claims} are too intricate to tell whether they are in each other's way. Simplify one of them.")
        }
    }
}

/// Reads the registration at `path`, or makes one there.
pub(crate) fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> anyhow::Result<Registration>,
) -> anyhow::Result<Registration> {
    if path.exists() {
        return Ok(read(path)?);
    }
    let registration = make()?;
    write(path, &registration, Overwrite::Never).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(registration)
}
