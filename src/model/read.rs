//! The permissive view read by [`Reader`]: the same as the `Deserialize` of each type reads, for plain JSON. A property test compares the two.

use super::{
    Container, ContainerPort, Exec, Grpc, HttpGet, HttpHeader, Json, Labels, Lifecycle, LifecycleHandler, Metadata, Object,
    OwnerReference, PortRef, Probe, Sleep, TcpSocket, Text,
    container::RawEnv,
    decode::{Annotations, HostAlias, Spec, Template},
    json::{Read, Reader, Strange},
};

/// Reads the members of a mapping into the fields of a value; other members are skipped. One that stands twice is strange.
macro_rules! members {
    ($reader:ident, $into:ident, { $($name:literal => $field:ident: $read:expr,)* }) => {{
        #[allow(non_camel_case_types)]
        enum Member { $($field),* }
        let mut seen = 0_u32;
        $reader.members(|reader, key| {
            match key {
                $($name => {
                    $crate::model::once(&mut seen, Member::$field as u32)?;
                    $into.$field = ($read)(reader)?;
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
pub(crate) fn optional<'a, T>(read: impl FnOnce(&mut Reader<'a>) -> Read<T>) -> impl FnOnce(&mut Reader<'a>) -> Read<Option<T>> {
    |reader| if reader.null()? { Ok(None) } else { read(reader).map(Some) }
}

pub(crate) fn text<'a>(reader: &mut Reader<'a>) -> Read<Text<'a>> {
    reader.text()
}

pub(crate) fn raw<'a>(reader: &mut Reader<'a>) -> Read<Json<'a>> {
    reader.raw()
}

/// `null` is the type's default.
fn nullable<'a, T: Default>(read: impl FnOnce(&mut Reader<'a>) -> Read<T>) -> impl FnOnce(&mut Reader<'a>) -> Read<T> {
    |reader| if reader.null()? { Ok(T::default()) } else { read(reader) }
}

fn list<'a, T>(mut read: impl FnMut(&mut Reader<'a>) -> Read<T>) -> impl FnOnce(&mut Reader<'a>) -> Read<Vec<T>> {
    nullable(move |reader: &mut Reader<'a>| {
        let mut list = Vec::new();
        reader.items(|reader| {
            list.push(read(reader)?);
            Ok(())
        })?;
        Ok(list)
    })
}

fn boxed<'a, T>(read: impl FnOnce(&mut Reader<'a>) -> Read<T>) -> impl FnOnce(&mut Reader<'a>) -> Read<Box<T>> {
    |reader| read(reader).map(Box::new)
}

/// Only whether something stands there.
fn anything(reader: &mut Reader<'_>) -> Read<serde::de::IgnoredAny> {
    reader.skip().map(|()| serde::de::IgnoredAny)
}

fn boolean(reader: &mut Reader<'_>) -> Read<bool> {
    reader.boolean()
}

fn integer(reader: &mut Reader<'_>) -> Read<i64> {
    reader.integer()
}

pub(crate) fn object<'a>(reader: &mut Reader<'a>) -> Read<Object<'a>> {
    let mut object = Object::default();
    members!(reader, object, {
        "apiVersion" => api_version: optional(text),
        "kind" => kind: optional(text),
        "metadata" => metadata: optional(metadata),
        "spec" => spec: optional(spec),
    });
    Ok(object)
}

fn metadata<'a>(reader: &mut Reader<'a>) -> Read<Metadata<'a>> {
    let mut metadata = Metadata::default();
    members!(reader, metadata, {
        "name" => name: optional(text),
        "generateName" => generate_name: optional(text),
        "namespace" => namespace: optional(text),
        "labels" => labels: nullable(labels),
        "annotations" => annotations: optional(annotations),
        "ownerReferences" => owner_references: list(owner_reference),
        "deletionTimestamp" => deletion_timestamp: optional(anything),
        "managedFields" => managed_fields: optional(raw),
    });
    Ok(metadata)
}

fn labels<'a>(reader: &mut Reader<'a>) -> Read<Labels<'a>> {
    let mut labels = Vec::new();
    reader.entries(|reader, key| {
        labels.push((key, nullable(text)(reader)?));
        Ok(())
    })?;
    Ok(Labels(labels))
}

fn annotations<'a>(reader: &mut Reader<'a>) -> Read<Annotations<'a>> {
    let mut annotations = Annotations::default();
    members!(reader, annotations, {
        "kubectl.kubernetes.io/last-applied-configuration" => last_applied: optional(raw),
        "probekeeper.dev/filled" => filled: optional(text),
        "probekeeper.dev/allow" => allow: optional(text),
        "probekeeper.dev/defaults" => defaults: optional(text),
        "sidecar.istio.io/rewriteAppHTTPProbers" => rewrite_probes: optional(text),
        "sidecar.istio.io/inject" => inject: optional(text),
    });
    Ok(annotations)
}

fn owner_reference<'a>(reader: &mut Reader<'a>) -> Read<OwnerReference<'a>> {
    let mut owner = OwnerReference::default();
    members!(reader, owner, {
        "apiVersion" => api_version: optional(text),
        "kind" => kind: optional(text),
        "controller" => controller: optional(boolean),
    });
    Ok(owner)
}

fn spec<'a>(reader: &mut Reader<'a>) -> Read<Spec<'a>> {
    let mut spec = Spec::default();
    members!(reader, spec, {
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
    Ok(spec)
}

fn host_alias<'a>(reader: &mut Reader<'a>) -> Read<HostAlias<'a>> {
    let mut alias = HostAlias::default();
    members!(reader, alias, {
        "ip" => ip: optional(text),
        "hostnames" => hostnames: list(text),
    });
    Ok(alias)
}

pub(super) fn template<'a>(reader: &mut Reader<'a>) -> Read<Template<'a>> {
    let mut template = Template::default();
    members!(reader, template, {
        "metadata" => metadata: nullable(metadata),
        "spec" => spec: nullable(spec),
    });
    Ok(template)
}

fn container<'a>(reader: &mut Reader<'a>) -> Read<Container<'a>> {
    let mut container = Container::default();
    members!(reader, container, {
        "name" => name: nullable(text),
        "image" => image: optional(text),
        "ports" => ports: list(port),
        "env" => env: optional(|reader: &mut Reader<'a>| reader.raw().map(RawEnv)),
        "livenessProbe" => liveness_probe: optional(boxed(probe)),
        "readinessProbe" => readiness_probe: optional(boxed(probe)),
        "startupProbe" => startup_probe: optional(boxed(probe)),
        "lifecycle" => lifecycle: optional(lifecycle),
        "restartPolicy" => restart_policy: optional(text),
        "restartPolicyRules" => restart_policy_rules: optional(anything),
    });
    Ok(container)
}

fn port<'a>(reader: &mut Reader<'a>) -> Read<ContainerPort<'a>> {
    let mut port = ContainerPort::default();
    members!(reader, port, {
        "name" => name: optional(text),
        "containerPort" => container_port: optional(integer),
        "protocol" => protocol: optional(text),
    });
    Ok(port)
}

fn lifecycle<'a>(reader: &mut Reader<'a>) -> Read<Lifecycle<'a>> {
    let mut lifecycle = Lifecycle::default();
    members!(reader, lifecycle, { "preStop" => pre_stop: optional(hook), });
    Ok(lifecycle)
}

fn hook<'a>(reader: &mut Reader<'a>) -> Read<LifecycleHandler<'a>> {
    let mut hook = LifecycleHandler::default();
    members!(reader, hook, {
        "exec" => exec: optional(exec),
        "sleep" => sleep: optional(sleep),
        "httpGet" => http_get: optional(anything),
        "tcpSocket" => tcp_socket: optional(anything),
    });
    Ok(hook)
}

fn sleep(reader: &mut Reader<'_>) -> Read<Sleep> {
    let mut sleep = Sleep::default();
    members!(reader, sleep, { "seconds" => seconds: optional(integer), });
    Ok(sleep)
}

fn probe<'a>(reader: &mut Reader<'a>) -> Read<Probe<'a>> {
    let mut probe = Probe::default();
    members!(reader, probe, {
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
    Ok(probe)
}

fn exec<'a>(reader: &mut Reader<'a>) -> Read<Exec<'a>> {
    let mut exec = Exec::default();
    members!(reader, exec, { "command" => command: list(text), });
    Ok(exec)
}

fn http_get<'a>(reader: &mut Reader<'a>) -> Read<HttpGet<'a>> {
    let mut http = HttpGet::default();
    members!(reader, http, {
        "path" => path: optional(text),
        "port" => port: optional(port_ref),
        "host" => host: optional(text),
        "scheme" => scheme: optional(text),
        "protocol" => protocol: optional(text),
        "httpHeaders" => http_headers: list(header),
    });
    Ok(http)
}

fn header<'a>(reader: &mut Reader<'a>) -> Read<HttpHeader<'a>> {
    let mut header = HttpHeader::default();
    members!(reader, header, {
        "name" => name: nullable(text),
        "value" => value: nullable(text),
    });
    Ok(header)
}

fn tcp_socket<'a>(reader: &mut Reader<'a>) -> Read<TcpSocket<'a>> {
    let mut tcp = TcpSocket::default();
    members!(reader, tcp, {
        "port" => port: optional(port_ref),
        "host" => host: optional(text),
    });
    Ok(tcp)
}

fn grpc<'a>(reader: &mut Reader<'a>) -> Read<Grpc<'a>> {
    let mut grpc = Grpc::default();
    members!(reader, grpc, {
        "port" => port: optional(integer),
        "service" => service: optional(text),
    });
    Ok(grpc)
}

fn port_ref<'a>(reader: &mut Reader<'a>) -> Read<PortRef<'a>> {
    match reader.peek() {
        Some(b'"') => reader.text().map(PortRef::Name),
        _ => reader.integer().map(PortRef::Number),
    }
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
