//! The permissive view read by [`Reader`]: the same as the `Deserialize` of each type reads, for plain JSON. A property test compares the two.

use super::{
    Container, ContainerPort, Exec, Grpc, HttpGet, HttpHeader, Json, Labels, Lifecycle, LifecycleHandler, Metadata, Object,
    OwnerReference, PortRef, Probe, Sleep, TcpSocket, Text,
    container::RawEnv,
    decode::{Annotations, HostAlias, Spec, Template},
    json::{Read, Reader, Strange, Verbatim},
};

/// Reads the members of a mapping into the fields of a value; other members are skipped. One that stands twice is strange. Everything is read where it
/// stays: a container has half a kilobyte, and would be moved at each level.
macro_rules! members {
    ($reader:ident, $into:ident, { $($name:literal => $field:ident: $read:expr,)* }) => {{
        #[allow(non_camel_case_types)]
        enum Member { $($field),* }
        let mut seen = 0_u32;
        $reader.members(|reader, key| {
            match key {
                $($name => {
                    $crate::model::once(&mut seen, Member::$field as u32)?;
                    ($read)(reader, &mut $into.$field)?;
                })*
                _ => reader.skip()?,
            }
            Ok(())
        })?;
    }};
}
pub(crate) use members;

pub(crate) fn once(seen: &mut u32, member: u32) -> Read<()> {
    let bit = 1 << member;
    if *seen & bit != 0 {
        return Err(Strange);
    }
    *seen |= bit;
    Ok(())
}

/// `null` is none.
pub(crate) fn optional<'a, T: Default>(
    read: impl FnOnce(&mut Reader<'a>, &mut T) -> Read<()>,
) -> impl FnOnce(&mut Reader<'a>, &mut Option<T>) -> Read<()> {
    |reader, into| if reader.null()? { Ok(()) } else { read(reader, into.insert(T::default())) }
}

/// As a value of its own.
pub(crate) fn reading<'a, T: Default>(
    read: impl FnOnce(&mut Reader<'a>, &mut T) -> Read<()>,
) -> impl FnOnce(&mut Reader<'a>) -> Read<T> {
    |reader| {
        let mut value = T::default();
        read(reader, &mut value)?;
        Ok(value)
    }
}

pub(crate) fn text<'a>(reader: &mut Reader<'a>, into: &mut Text<'a>) -> Read<()> {
    *into = reader.text()?;
    Ok(())
}

/// A value as its text; `null` is none.
pub(crate) fn raw<'a>(reader: &mut Reader<'a>, into: &mut Option<Json<'a>>) -> Read<()> {
    if !reader.null()? {
        *into = Some(reader.raw()?);
    }
    Ok(())
}

/// `null` is the type's default.
fn nullable<'a, T>(read: impl FnOnce(&mut Reader<'a>, &mut T) -> Read<()>) -> impl FnOnce(&mut Reader<'a>, &mut T) -> Read<()> {
    |reader, into| if reader.null()? { Ok(()) } else { read(reader, into) }
}

fn list<'a, T: Default>(
    mut read: impl FnMut(&mut Reader<'a>, &mut T) -> Read<()>,
) -> impl FnOnce(&mut Reader<'a>, &mut Vec<T>) -> Read<()> {
    nullable(move |reader: &mut Reader<'a>, into: &mut Vec<T>| {
        reader.items(|reader| {
            reader.room_for::<T>()?;
            into.push(T::default());
            into.last_mut().map_or(Ok(()), |item| read(reader, item))
        })
    })
}

fn boxed<'a, T>(read: impl FnOnce(&mut Reader<'a>, &mut T) -> Read<()>) -> impl FnOnce(&mut Reader<'a>, &mut Box<T>) -> Read<()> {
    |reader, into| read(reader, into)
}

/// Only whether something stands there.
fn anything(reader: &mut Reader<'_>, _: &mut serde::de::IgnoredAny) -> Read<()> {
    reader.skip()
}

fn boolean(reader: &mut Reader<'_>, into: &mut bool) -> Read<()> {
    *into = reader.boolean()?;
    Ok(())
}

fn integer(reader: &mut Reader<'_>, into: &mut i64) -> Read<()> {
    *into = reader.integer()?;
    Ok(())
}

pub(crate) fn object<'a>(reader: &mut Reader<'a>, into: &mut Object<'a>) -> Read<()> {
    members!(reader, into, {
        "apiVersion" => api_version: optional(text),
        "kind" => kind: optional(text),
        "metadata" => metadata: optional(metadata),
        "spec" => spec: optional(spec),
    });
    Ok(())
}

fn metadata<'a>(reader: &mut Reader<'a>, into: &mut Metadata<'a>) -> Read<()> {
    members!(reader, into, {
        "name" => name: optional(text),
        "generateName" => generate_name: optional(text),
        "namespace" => namespace: optional(text),
        "labels" => labels: nullable(labels),
        "annotations" => annotations: optional(annotations),
        "ownerReferences" => owner_references: list(owner_reference),
        "deletionTimestamp" => deletion_timestamp: optional(anything),
        "managedFields" => managed_fields: raw,
    });
    Ok(())
}

fn labels<'a>(reader: &mut Reader<'a>, into: &mut Labels<'a>) -> Read<()> {
    reader.entries(|reader, key| {
        reader.room_for::<(Text<'_>, Text<'_>)>()?;
        let mut value = Text::default();
        nullable(text)(reader, &mut value)?;
        into.0.push((key, value));
        Ok(())
    })
}

fn annotations<'a>(reader: &mut Reader<'a>, into: &mut Annotations<'a>) -> Read<()> {
    let place = reader.place();
    members!(reader, into, {
        "kubectl.kubernetes.io/last-applied-configuration" => last_applied: raw,
        "probekeeper.dev/filled" => filled: optional(text),
        "probekeeper.dev/allow" => allow: optional(text),
        "probekeeper.dev/defaults" => defaults: optional(text),
        "sidecar.istio.io/rewriteAppHTTPProbers" => rewrite_probes: optional(text),
        "sidecar.istio.io/inject" => inject: optional(text),
    });
    into.text = Verbatim(reader.since(place).get());
    Ok(())
}

fn owner_reference<'a>(reader: &mut Reader<'a>, into: &mut OwnerReference<'a>) -> Read<()> {
    members!(reader, into, {
        "apiVersion" => api_version: optional(text),
        "kind" => kind: optional(text),
        "controller" => controller: optional(boolean),
    });
    Ok(())
}

fn spec<'a>(reader: &mut Reader<'a>, into: &mut Spec<'a>) -> Read<()> {
    members!(reader, into, {
        "containers" => containers: list(container),
        "initContainers" => init_containers: list(container),
        "restartPolicy" => restart_policy: optional(text),
        "terminationGracePeriodSeconds" => termination_grace_period_seconds: optional(integer),
        "hostNetwork" => host_network: optional(boolean),
        "hostname" => hostname: optional(text),
        "hostAliases" => host_aliases: list(host_alias),
        "template" => template: optional(boxed(template)),
        "jobTemplate" => job_template: optional(boxed(template)),
        "selector" => selector: optional(anything),
        "progressDeadlineSeconds" => progress_deadline_seconds: optional(integer),
        "minReadySeconds" => min_ready_seconds: optional(integer),
    });
    Ok(())
}

fn host_alias<'a>(reader: &mut Reader<'a>, into: &mut HostAlias<'a>) -> Read<()> {
    members!(reader, into, {
        "ip" => ip: optional(text),
        "hostnames" => hostnames: list(text),
    });
    Ok(())
}

pub(super) fn template<'a>(reader: &mut Reader<'a>, into: &mut Template<'a>) -> Read<()> {
    members!(reader, into, {
        "metadata" => metadata: nullable(metadata),
        "spec" => spec: nullable(spec),
    });
    Ok(())
}

fn container<'a>(reader: &mut Reader<'a>, into: &mut Container<'a>) -> Read<()> {
    let place = reader.place();
    members!(reader, into, {
        "name" => name: nullable(text),
        "image" => image: optional(text),
        "ports" => ports: list(port),
        "env" => env: env,
        "livenessProbe" => liveness_probe: optional(boxed(probe)),
        "readinessProbe" => readiness_probe: optional(boxed(probe)),
        "startupProbe" => startup_probe: optional(boxed(probe)),
        "lifecycle" => lifecycle: optional(lifecycle),
        "restartPolicy" => restart_policy: optional(text),
        "restartPolicyRules" => restart_policy_rules: optional(anything),
    });
    into.text = Verbatim(reader.since(place).get());
    Ok(())
}

fn port<'a>(reader: &mut Reader<'a>, into: &mut ContainerPort<'a>) -> Read<()> {
    members!(reader, into, {
        "name" => name: optional(text),
        "containerPort" => container_port: optional(integer),
        "protocol" => protocol: optional(text),
    });
    Ok(())
}

fn lifecycle<'a>(reader: &mut Reader<'a>, into: &mut Lifecycle<'a>) -> Read<()> {
    members!(reader, into, { "preStop" => pre_stop: optional(hook), });
    Ok(())
}

fn hook<'a>(reader: &mut Reader<'a>, into: &mut LifecycleHandler<'a>) -> Read<()> {
    members!(reader, into, {
        "exec" => exec: optional(exec),
        "sleep" => sleep: optional(sleep),
        "httpGet" => http_get: optional(anything),
        "tcpSocket" => tcp_socket: optional(anything),
    });
    Ok(())
}

fn sleep(reader: &mut Reader<'_>, into: &mut Sleep) -> Read<()> {
    members!(reader, into, { "seconds" => seconds: optional(integer), });
    Ok(())
}

fn probe<'a>(reader: &mut Reader<'a>, into: &mut Probe<'a>) -> Read<()> {
    let place = reader.place();
    members!(reader, into, {
        "exec" => exec: optional(exec),
        "httpGet" => http_get: optional(http_get),
        "tcpSocket" => tcp_socket: optional(tcp_socket),
        "grpc" => grpc: optional(grpc),
        "initialDelaySeconds" => initial_delay_seconds: optional(integer),
        "timeoutSeconds" => timeout_seconds: optional(integer),
        "periodSeconds" => period_seconds: optional(integer),
        "successThreshold" => success_threshold: optional(integer),
        "failureThreshold" => failure_threshold: optional(integer),
        "terminationGracePeriodSeconds" => termination_grace_period_seconds: optional(integer),
    });
    into.text = Verbatim(reader.since(place).get());
    Ok(())
}

fn exec<'a>(reader: &mut Reader<'a>, into: &mut Exec<'a>) -> Read<()> {
    members!(reader, into, { "command" => command: list(text), });
    Ok(())
}

fn http_get<'a>(reader: &mut Reader<'a>, into: &mut HttpGet<'a>) -> Read<()> {
    members!(reader, into, {
        "path" => path: optional(text),
        "port" => port: port_ref,
        "host" => host: optional(text),
        "scheme" => scheme: optional(text),
        "protocol" => protocol: optional(text),
        "httpHeaders" => http_headers: list(header),
    });
    Ok(())
}

fn header<'a>(reader: &mut Reader<'a>, into: &mut HttpHeader<'a>) -> Read<()> {
    members!(reader, into, {
        "name" => name: nullable(text),
        "value" => value: nullable(text),
    });
    Ok(())
}

fn tcp_socket<'a>(reader: &mut Reader<'a>, into: &mut TcpSocket<'a>) -> Read<()> {
    members!(reader, into, {
        "port" => port: port_ref,
        "host" => host: optional(text),
    });
    Ok(())
}

fn grpc<'a>(reader: &mut Reader<'a>, into: &mut Grpc<'a>) -> Read<()> {
    members!(reader, into, {
        "port" => port: optional(integer),
        "service" => service: optional(text),
    });
    Ok(())
}

/// `null` is none.
fn port_ref<'a>(reader: &mut Reader<'a>, into: &mut Option<PortRef<'a>>) -> Read<()> {
    *into = match reader.peek() {
        Some(b'"') => Some(PortRef::Name(reader.text()?)),
        _ if reader.null()? => None,
        _ => Some(PortRef::Number(reader.integer()?)),
    };
    Ok(())
}

/// `null` is none.
fn env<'a>(reader: &mut Reader<'a>, into: &mut Option<RawEnv<'a>>) -> Read<()> {
    let mut read = None;
    raw(reader, &mut read)?;
    *into = read.map(RawEnv);
    Ok(())
}

/// Values that `Debug` hides, for tests that compare all there is.
#[cfg(test)]
pub(crate) fn hidden_values(object: &Object<'_>) -> Vec<String> {
    fn of_container(container: &Container<'_>, values: &mut Vec<String>) {
        values.extend(container.env.as_ref().map(|env| env.0.get().to_owned()));
        for probe in super::ProbeKind::ALL.into_iter().filter_map(|kind| container.probe(kind)) {
            values.extend(probe.http_get.iter().flat_map(|http| &http.http_headers).map(|header| header.value.to_string()));
        }
    }
    fn of_spec(spec: &Spec<'_>, values: &mut Vec<String>) {
        spec.containers.iter().chain(&spec.init_containers).for_each(|container| of_container(container, values));
        spec.template.iter().chain(&spec.job_template).for_each(|template| of_spec(&template.spec, values));
    }
    let mut values = Vec::new();
    object.spec.iter().for_each(|spec| of_spec(spec, &mut values));
    values
}
