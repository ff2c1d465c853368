//! Exec commands of public charts and manifests, and what is read in them: whether they can fail, and whom they ask.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

use probekeeper::engine::evaluate;
use probekeeper::model::{Change, Protocol, Reach, Reading, Scalar, Workload};
use probekeeper::policy::{Policy, Profile};
use proptest::prelude::*;
use serde_json::json;

/// Where it was seen, its environment, its words, and what is expected: `never fails`, then one `reach protocol port` per target.
///
/// In the environment, `@field` is a field reference and `@elsewhere` a value from another object. Values that a chart leaves to its user are filled in.
type Row<'r> = (&'r str, &'r [(&'r str, &'r str)], &'r [&'r str], &'r str);

const FROM_CHARTS: &[Row<'_>] = &[
    // Files, processes, the program itself: nothing is asked.
    ("kubernetes docs", &[], &["cat", "/tmp/healthy"], ""),
    ("istio samples hello-probes", &[], &["cat", "/tmp/healthy"], ""),
    ("istio calico", &[], &["/bin/calico-node", "-felix-live", "-bird-live"], ""),
    ("istio calico", &[], &["/bin/calico-node", "-felix-ready", "-bird-ready"], ""),
    ("istio calico", &[], &["/usr/bin/check-status", "-l"], ""),
    ("istio skywalking", &[], &["/skywalking/bin/swctl", "health"], ""),
    ("stable/hlf-ord", &[], &["ls", "/var/hyperledger"], ""),
    ("stable/openebs", &[], &["pgrep", ".*ndm"], ""),
    ("stable/openebs", &[], &["sh", "-c", "test `pgrep -c \"^admission-serve.*\"` = 1"], ""),
    ("stable/openebs", &[], &["/usr/local/bin/mayactl", "version"], ""),
    ("stable/openebs", &[], &["stat", "/tmp/operator-sdk-ready"], ""),
    ("stable/sysdig", &[], &["test", "-e", "/opt/draios/logs/running"], ""),
    ("stable/tomcat", &[], &["cat", "/usr/local/tomcat/webapps/sample/index.html"], ""),
    ("stable/horovod", &[], &["/horovod/generated/check.sh"], ""),
    ("stable/datadog", &[], &["./probe.sh"], ""),
    ("stable/msoms", &[], &["/bin/bash", "-c", "ps -ef | pgrep omsagent"], ""),
    ("stable/anchore-engine", &[], &["pgrep", "twistd"], ""),
    ("stable/mongodb", &[], &["pgrep", "mongod"], ""),
    ("stable/redis", &[], &["sh", "-c", "/health/ping_liveness_local.sh 5"], ""),
    ("stable/hoard", &[], &["sh", "-c", "[ $(echo \"marmottes\" | hoarctl put | hoarctl get) = \"marmottes\" ]"], ""),
    ("stable/presto", &[], &["/bin/bash", "/usr/lib/presto/health_check.sh"], ""),
    ("stable/janusgraph", &[], &["/tmp/healthcheck.py"], ""),
    ("stable/rabbitmq-ha", &[], &["rabbitmqctl", "status"], ""),
    (
        "stable/concourse",
        &[],
        &[
            "/bin/sh",
            "-c",
            "FATAL_ERRORS=$( echo \"${LIVENESS_PROBE_FATAL_ERRORS}\" | grep -q '\\S' && \\\n    grep -F \"${LIVENESS_PROBE_FATAL_ERRORS}\" \
             /tmp/.liveness_probe )\ncp /dev/null /tmp/.liveness_probe\nif [ ! -z \"${FATAL_ERRORS}\" ]; then\n  >&2 echo \"Fatal error detected: \
             ${FATAL_ERRORS}\"\n  exit 1\nfi",
        ],
        "",
    ),
    ("incubator/azuremonitor-containers", &[], &["cmd", "/c", "C:\\opt\\omsagentwindows\\scripts\\cmd\\livenessProbe.cmd"], ""),
    ("incubator/azuremonitor-containers", &[], &["/bin/bash", "-c", "/opt/livenessprobe.sh"], ""),
    ("incubator/azuremonitor-containers", &[], &["/bin/bash", "-c", "ps -ef | grep omsagent | grep -v \"grep\""], ""),
    ("incubator/cassandra-operator", &[], &["/health"], ""),
    ("incubator/kafka", &[], &["sh", "-ec", "/usr/bin/jps | /bin/grep -q SupportedKafka"], ""),
    ("incubator/zookeeper", &[], &["sh", "/config-scripts/ok"], ""),
    ("incubator/zookeeper", &[], &["zkOk.sh"], ""),
    ("bitnami/airflow", &[], &["pgrep", "-f", "airflow scheduler"], ""),
    (
        "bitnami/airflow",
        &[],
        &[
            "/bin/bash",
            "-ec",
            "export CONNECTION_CHECK_MAX_COUNT=0\ntimeout 30 airflow jobs check --job-type SchedulerJob --local --limit 0 2>/dev/null\n",
        ],
        "",
    ),
    (
        "bitnami/airflow",
        &[],
        &[
            "sh",
            "-c",
            ". /opt/bitnami/airflow/venv/bin/activate && \\\n  CONNECTION_CHECK_MAX_COUNT=0 python -m celery --app \
             airflow.providers.celery.executors.celery_executor.app inspect ping -d celery@$(hostname)\n",
        ],
        "",
    ),
    ("bitnami/argo-cd", &[], &["pgrep", "-f", "argocd-applicationset-controller"], ""),
    ("bitnami/discourse", &[], &["/bin/sh", "-c", "pgrep -f ^sidekiq"], ""),
    (
        "bitnami/deepspeed",
        &[],
        &[
            "bash",
            "-c",
            "[[ -f \"/opt/bitnami/scripts/deepspeed/entrypoint.sh\" ]] && source \"/opt/bitnami/scripts/deepspeed/entrypoint.sh\"\ndeepspeed --help\n",
        ],
        "",
    ),
    ("bitnami/deepspeed", &[], &["python", "-c", "import deepspeed; deepspeed.__version__"], ""),
    ("bitnami/elasticsearch", &[], &["/opt/bitnami/scripts/elasticsearch/healthcheck.sh"], ""),
    ("bitnami/etcd", &[], &["/opt/bitnami/scripts/etcd/healthcheck.sh"], ""),
    ("bitnami/gitlab-runner", &[], &["/bin/bash", "/configmaps/check-live", "4"], ""),
    ("bitnami/mongodb", &[], &["/bitnami/scripts/ping-mongodb.sh"], ""),
    ("bitnami/redis", &[], &["/bin/bash", "-ec", "/health/ping_readiness_local_and_master.sh 1"], ""),
    ("bitnami/rabbitmq", &[], &["/bin/bash", "-ec", "rabbitmq-diagnostics -q ping"], ""),
    (
        "bitnami/rabbitmq",
        &[],
        &["/bin/bash", "-ec", "rabbitmq-diagnostics -q check_running && rabbitmq-diagnostics -q check_local_alarms"],
        "",
    ),
    ("bitnami/zookeeper", &[], &["/bin/bash", "-ec", "ZOO_HC_TIMEOUT=3 /opt/bitnami/scripts/zookeeper/healthcheck.sh"], ""),
    ("bitnami/pytorch", &[], &["python", "-c", "import torch; print(torch.__config__.show())"], ""),
    ("bitnami/kafka", &[], &["pgrep", "-f", "kafka"], ""),
    ("elastic/filebeat", &[], &["sh", "-c", "#!/usr/bin/env bash -e\nfilebeat test output\n"], ""),
    ("elastic/metricbeat", &[], &["sh", "-c", "#!/usr/bin/env bash -e\nmetricbeat test output\n"], ""),
    ("hashicorp/consul tests", &[], &["sh", "-c", "test ! -f /tmp/unhealthy-multiport"], ""),
    (
        "longhorn nfs-backupstore",
        &[],
        &["bash", "-c", "grep \"No export entries found\" /var/log/ganesha.log > /dev/null 2>&1 ; [ $? -ne 0 ]"],
        "",
    ),
    (
        "longhorn gke node agent",
        &[],
        &[
            "/bin/bash",
            "-c",
            "nsenter --mount=${HOST_MOUNT_DIR}/proc/1/ns/mnt pgrep -x iscsid && \\\nnsenter --mount=${HOST_MOUNT_DIR}/proc/1/ns/mnt lsmod | grep -q \
             iscsi_tcp",
        ],
        "",
    ),
    ("longhorn examples", &[], &["ls", "/var/lib/mysql/lost+found"], ""),
    ("longhorn examples", &[], &["ls", "/usr/share/nginx/html/lost+found"], ""),
    ("longhorn csi example", &[], &["ls", "/data/lost+found"], ""),
    (
        "rook ceph-mon",
        &[],
        &[
            "env",
            "-i",
            "sh",
            "-c",
            "outp=\"$(ceph --admin-daemon /run/ceph/ceph-mon.a.asok mon_status 2>&1)\"\nrc=$?\nif [ $rc -ne 0 ]; then\n  echo \"ceph daemon health check \
             failed with the following output:\"\n  echo \"$outp\" | sed -e 's/^/> /g'\n  exit $rc\nfi\n",
        ],
        "",
    ),
    ("rook tmate", &[], &["ls", "/var/tmp/tmate.sock"], ""),
    ("kubernetes/examples cassandra", &[], &["/bin/bash", "-c", "/ready-probe.sh"], ""),
    // HTTP to itself.
    (
        "incubator/couchdb",
        &[("COUCHDB_USER", "@elsewhere"), ("COUCHDB_PASSWORD", "@elsewhere")],
        &["sh", "-c", "curl -G --silent --fail -u ${COUCHDB_USER}:${COUCHDB_PASSWORD} http://localhost:5984/_up"],
        "local http 5984",
    ),
    (
        "stable/airflow",
        &[],
        &[
            "/bin/sh",
            "-c",
            "curl -H 'Authorization: Basic $(echo -n $AIRFLOW__CELERY__FLOWER_BASIC_AUTH | base64)' 'http://localhost:5555/'",
        ],
        "local http 5555",
    ),
    ("stable/anchore-engine", &[], &["curl", "-f", "localhost:8089/health"], "local http 8089"),
    ("stable/anchore-engine", &[], &["curl", "localhost:8089/health"], "local http 8089"),
    ("stable/percona-xtradb-cluster", &[], &["wget", "-q", "-O", "-", "localhost:9104"], "local http 9104"),
    (
        "stable/rabbitmq-ha",
        &[],
        &[
            "/bin/sh",
            "-c",
            "wget -O - -q --header \"Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\" http://localhost:15672/api/healthchecks/node | grep -qF \"{\\\"status\\\":\\\"ok\\\"}\"",
        ],
        "local http 15672",
    ),
    (
        "stable/rabbitmq",
        &[],
        &[
            "sh",
            "-c",
            "test \"$(curl -sS -f --user user:$RABBITMQ_PASSWORD 127.0.0.1:15672/api/healthchecks/node)\" = '{\"status\":\"ok\"}'",
        ],
        "local http 15672",
    ),
    (
        "stable/rabbitmq",
        &[],
        &[
            "sh",
            "-c",
            "rabbitmq-api-check \"http://user:$RABBITMQ_PASSWORD@127.0.0.1:15672/api/healthchecks/node\" '{\"status\":\"ok\"}'",
        ],
        "",
    ),
    (
        "bitnami/rabbitmq",
        &[],
        &["/bin/bash", "-ec", "curl -f --user user:$(< $RABBITMQ_PASSWORD_FILE) 127.0.0.1:15672/api/health/checks/local-alarms"],
        "local http 15672",
    ),
    (
        "bitnami/influxdb",
        &[],
        &[
            "bash",
            "-c",
            "INFLUXDB_ADMIN_TOKEN=\"$(<INFLUXDB_ADMIN_TOKEN_FILE)\"\ntimeout 5s curl -sSL -H \"Authorization: Bearer $INFLUXDB_ADMIN_TOKEN\" \
             http://127.0.0.1:8086/health\n",
        ],
        "local http 8086",
    ),
    (
        "bitnami/solr",
        &[("SOLR_PORT_NUMBER", "8983")],
        &[
            "/bin/bash",
            "-ec",
            "export SOLR_ADMIN_PASSWORD=\"$(< $SOLR_ADMIN_PASSWORD_FILE)\"\ncurl --silent --connect-timeout 15000 --user \
             ${SOLR_ADMIN_USERNAME}:${SOLR_ADMIN_PASSWORD} http://localhost:${SOLR_PORT_NUMBER}/api/node/health | grep --quiet  '\\\"status\\\":\\\"OK\\\"'\n",
        ],
        "local http 8983",
    ),
    (
        "bitnami/appsmith",
        &[("APPSMITH_API_HOST", "appsmith-backend"), ("APPSMITH_API_PORT", "80")],
        &[
            "/bin/bash",
            "-ec",
            "curl --max-time 5 \"http://$APPSMITH_API_HOST:$APPSMITH_API_PORT/api/v1/users/me\" | grep -q \"success\"",
        ],
        "remote http 80",
    ),
    ("elastic/filebeat", &[], &["sh", "-c", "#!/usr/bin/env bash -e\ncurl --fail 127.0.0.1:5066\n"], "local http 5066"),
    (
        "elastic/elasticsearch",
        &[],
        &[
            "bash",
            "-c",
            "set -e\n\n# Exit if ELASTIC_PASSWORD in unset\nif [ -z \"${ELASTIC_PASSWORD}\" ]; then\n  echo \"ELASTIC_PASSWORD variable is missing, \
             exiting\"\n  exit 1\nfi\nSTART_FILE=/tmp/.es_start_file\nexport NSS_SDB_USE_CACHE=no\nhttp () {\n  local path=\"${1}\"\n  local \
             args=\"${2}\"\n  set -- -XGET -s\n  if [ \"$args\" != \"\" ]; then\n    set -- \"$@\" $args\n  fi\n  set -- \"$@\" -u \
             \"elastic:${ELASTIC_PASSWORD}\"\n  curl --output /dev/null -k \"$@\" \"https://127.0.0.1:9200${path}\"\n}\nif [ -f \"${START_FILE}\" ]; then\n  \
             HTTP_CODE=$(http \"/\" \"-w %{http_code}\")\n  RC=$?\n  if [[ ${RC} -ne 0 ]]; then\n    exit ${RC}\n  fi\n  if [[ ${HTTP_CODE} == \"200\" ]]; \
             then\n    exit 0\n  elif [[ ${HTTP_CODE} == \"503\" && \"8\" == \"6\" ]]; then\n    exit 0\n  else\n    exit 1\n  fi\nelse\n  if http \
             \"/_cluster/health?wait_for_status=green&timeout=1s\" \"--fail\" ; then\n    touch ${START_FILE}\n    exit 0\n  else\n    exit 1\n  fi\nfi\n",
        ],
        "local http ?",
    ),
    (
        "elastic/kibana",
        &[],
        &[
            "bash",
            "-c",
            "#!/usr/bin/env bash -e\nexport NSS_SDB_USE_CACHE=no\nhttp () {\n    local path=\"${1}\"\n    set -- -XGET -s --fail -L\n    STATUS=$(curl \
             --output /dev/null --write-out \"%{http_code}\" -k \"$@\" \"https://localhost:5601${path}\")\n    if [[ \"${STATUS}\" -eq 200 ]]; then\n      exit \
             0\n    fi\n    echo \"Error: Got HTTP code ${STATUS} but expected a 200\"\n    exit 1\n}\nhttp \"/app/kibana\"\n",
        ],
        "local http ?",
    ),
    (
        "hashicorp/consul",
        &[],
        &["/bin/sh", "-ec", "curl -k \\\n  https://127.0.0.1:8501/v1/status/leader \\\n2>/dev/null | grep -E '\".+\"'\n"],
        "local http 8501",
    ),
    (
        "hashicorp/consul",
        &[],
        &["/bin/sh", "-ec", "curl \\\n  http://[::1]:8500/v1/status/leader \\\n2>/dev/null | grep -E '\".+\"'\n"],
        "local http 8500",
    ),
    ("bitnami/consul", &[], &["consul", "members"], "local http 8500"),
    ("bitnami/consul", &[], &["consul", "operator", "raft", "list-peers"], "local http 8500"),
    ("stable/consul", &[], &["consul", "members", "-http-addr=http://127.0.0.1:8500"], "local http 8500"),
    ("bitnami/vault", &[("VAULT_ADDR", "http://127.0.0.1:8200")], &["vault", "status", "-tls-skip-verify"], "local http 8200"),
    (
        "hashicorp/vault",
        &[("VAULT_ADDR", "https://127.0.0.1:8200")],
        &["/bin/sh", "-ec", "vault status -tls-skip-verify"],
        "local http 8200",
    ),
    // A data store that asks itself.
    ("stable/mysql", &[], &["mysqladmin", "ping"], "local MySQL 3306"),
    ("stable/mysql", &[], &["sh", "-c", "mysqladmin ping -u root -p${MYSQL_ROOT_PASSWORD}"], "local MySQL 3306"),
    (
        "incubator/mysqlha",
        &[],
        &["/bin/sh", "-c", "mysqladmin ping -h 127.0.0.1 -u root -p${MYSQL_ROOT_PASSWORD}"],
        "local MySQL 3306",
    ),
    (
        "incubator/mysqlha",
        &[],
        &["/bin/sh", "-c", "MYSQL_PWD=\"${MYSQL_ROOT_PASSWORD}\"\nmysql -h 127.0.0.1 -u root -e \"SELECT 1\"\n"],
        "local MySQL 3306",
    ),
    (
        "stable/percona-xtradb-cluster",
        &[],
        &["/bin/bash", "-c", "mysqladmin ping || test -e /var/lib/mysql/sst_in_progress"],
        "local MySQL 3306",
    ),
    (
        "stable/percona-xtradb-cluster",
        &[],
        &["mysql", "--defaults-extra-file=/root/.my.cnf", "-h", "127.0.0.1", "-e", "SELECT 1"],
        "local MySQL 3306",
    ),
    ("stable/prometheus-mysql-exporter", &[], &["nc", "-z", "127.0.0.1", "3306"], "local tcp 3306"),
    ("stable/openvpn", &[], &["nc", "-u", "-z", "127.0.0.1", "443"], "local tcp 443"),
    (
        "stable/mariadb",
        &[],
        &[
            "sh",
            "-c",
            "password_aux=\"${MARIADB_ROOT_PASSWORD:-}\"\nif [ -f \"${MARIADB_ROOT_PASSWORD_FILE:-}\" ]; then\n    password_aux=$(cat \
             $MARIADB_ROOT_PASSWORD_FILE)\nfi\nmysqladmin status -uroot -p$password_aux\n",
        ],
        "local MySQL 3306",
    ),
    ("stable/mariadb", &[], &["sh", "-c", "exec mysqladmin status -uroot -p$MARIADB_ROOT_PASSWORD"], "local MySQL 3306"),
    (
        "bitnami/mariadb-galera",
        &[],
        &[
            "bash",
            "-ec",
            "password_aux=\"${MARIADB_ROOT_PASSWORD:-}\"\nif [[ -f \"${MARIADB_ROOT_PASSWORD_FILE:-}\" ]]; then\n    password_aux=$(cat \
             \"$MARIADB_ROOT_PASSWORD_FILE\")\nfi\nexec mysql -u\"${MARIADB_ROOT_USER}\" -p\"${password_aux}\" -e \"select * from \
             mysql.wsrep_cluster_members;\"\n",
        ],
        "local MySQL 3306",
    ),
    (
        "bitnami/mariadb",
        &[],
        &[
            "/bin/bash",
            "-ec",
            "password_aux=\"${MARIADB_ROOT_PASSWORD:-}\"\nif [[ -f \"${MARIADB_ROOT_PASSWORD_FILE:-}\" ]]; then\n    password_aux=$(cat \
             \"$MARIADB_ROOT_PASSWORD_FILE\")\nfi\nmariadb-admin ping -uroot -p\"${password_aux}\"\n",
        ],
        "local MySQL 3306",
    ),
    (
        "bitnami/mysql",
        &[],
        &[
            "/bin/bash",
            "-ec",
            "password_aux=\"${MYSQL_ROOT_PASSWORD:-}\"\nmysqladmin ping -uroot -p\"${password_aux}\" | grep \"mysqld is alive\"\n",
        ],
        "local MySQL 3306",
    ),
    (
        "stable/anchore-engine",
        &[("POD_IP", "@status.podIP")],
        &["sh", "-c", "exec pg_isready --host $POD_IP"],
        "local PostgreSQL 5432",
    ),
    (
        "stable/postgresql",
        &[("POD_IP", "@status.podIP")],
        &["sh", "-c", "exec pg_isready -U \"postgres\" --host $POD_IP"],
        "local PostgreSQL 5432",
    ),
    (
        "stable/postgresql",
        &[],
        &["/bin/sh", "-c", "exec pg_isready -U \"postgres\" -d \"db\" -h 127.0.0.1 -p 5432"],
        "local PostgreSQL 5432",
    ),
    (
        "bitnami/postgresql",
        &[],
        &[
            "/bin/sh",
            "-c",
            "-e",
            "exec pg_isready -U \"postgres\" -d \"dbname=db sslcert=/tls.crt sslkey=/tls.key\" -h 127.0.0.1 -p 5432\n[ -f \
             /opt/bitnami/postgresql/tmp/.initialized ] || [ -f /bitnami/postgresql/.initialized ]\n",
        ],
        "local PostgreSQL 5432",
    ),
    ("bitnami/postgresql-ha", &[], &["pg_isready", "-U", "postgres", "-h", "127.0.0.1", "-p", "5432"], "local PostgreSQL 5432"),
    (
        "bitnami/postgresql-ha",
        &[],
        &[
            "bash",
            "-ec",
            "PGPASSWORD=$POSTGRES_PASSWORD psql -w -U \"postgres\" -d \"postgres\" -h 127.0.0.1 -p 5432 -c \"SELECT 1\"",
        ],
        "local PostgreSQL 5432",
    ),
    (
        "bitnami/postgresql-ha",
        &[],
        &[
            "bash",
            "-ec",
            "PGPASSWORD=$PGPOOL_POSTGRES_PASSWORD psql -U \"postgres\" -d \"postgres\" -h /opt/bitnami/pgpool/tmp -tA -c \"SELECT 1\" >/dev/null",
        ],
        "local PostgreSQL 5432",
    ),
    (
        "postgres:11-alpine manifest",
        &[],
        &["psql", "-U", "postgres", "-w", "postgres", "-c", "SELECT 1"],
        "local PostgreSQL 5432",
    ),
    ("stable/redis-ha", &[], &["redis-cli", "ping"], "local Redis 6379"),
    ("stable/redis-ha", &[], &["redis-cli", "-p", "26379", "ping"], "local Redis 26379"),
    (
        "bitnami/redis health script, inline",
        &[],
        &[
            "sh",
            "-c",
            "response=$(\n  timeout -s 3 $1 \\\n  redis-cli \\\n    -h localhost \\\n    -p $REDIS_PORT \\\n    ping\n)\nif [ \"$?\" -eq \"124\" ]; \
             then\n  echo \"Timed out\"\n  exit 1\nfi\nif [ \"$response\" != \"PONG\" ]; then\n  echo \"$response\"\n  exit 1\nfi\n",
        ],
        "local Redis ?",
    ),
    ("stable/mongodb", &[], &["mongo", "--eval", "db.adminCommand('ping')"], "local MongoDB 27017"),
    (
        "stable/mongodb-replicaset",
        &[],
        &[
            "mongo",
            "--ssl",
            "--sslCAFile=/data/configdb/tls.crt",
            "--sslPEMKeyFile=/work-dir/mongo.pem",
            "--eval",
            "db.adminCommand('ping')",
        ],
        "local MongoDB 27017",
    ),
    (
        "bitnami/mongodb-sharded",
        &[("MONGODB_PORT_NUMBER", "27017")],
        &["/bin/sh", "-c", "mongosh --port $MONGODB_PORT_NUMBER --eval \"db.adminCommand('ping')\""],
        "local MongoDB 27017",
    ),
    ("stable/mongodb-replicaset", &[], &["sh", "-c", "/bin/mongodb_exporter --mongodb.uri mongodb://localhost:27017 --test"], ""),
    ("incubator/cassandra", &[], &["/bin/sh", "-c", "nodetool status"], "local JMX 7199"),
    (
        "incubator/cassandra",
        &[("POD_IP", "@status.podIP")],
        &["/bin/sh", "-c", "nodetool status | grep -E \"^UN\\s+${POD_IP}\""],
        "local JMX 7199",
    ),
    (
        "bitnami/cassandra",
        &[],
        &["/bin/bash", "-ec", "nodetool info | grep \"Native Transport active: true\"\n"],
        "local JMX 7199",
    ),
    (
        "bitnami/scylladb",
        &[],
        &["/bin/bash", "-ec", "nodetool info -p 7199 | grep \"Native Transport active: true\"\n"],
        "local JMX 7199",
    ),
    (
        "bitnami/clickhouse keeper",
        &[],
        &[
            "bash",
            "-ec",
            "OK=$(exec 3<>/dev/tcp/127.0.0.1/2181; printf 'ruok' >&3; IFS=; tee <&3; exec 3<&-;)\nif [[ \"${OK}\" == \"imok\" ]]; then exit 0; else exit 1; \
             fi\n",
        ],
        "local tcp 2181",
    ),
    // gRPC.
    ("microservices-demo", &[], &["/bin/grpc_health_probe", "-addr=:7070", "-rpc-timeout=5s"], "local grpc 7070"),
    ("microservices-demo", &[], &["/bin/grpc_health_probe", "-addr=:50051"], "local grpc 50051"),
    ("bitnami/cilium", &[], &["/bin/bash", "-ec", "grpc-health-probe -addr=127.0.0.1:4245 -rpc-timeout=2s\n"], "local grpc 4245"),
    (
        "bitnami/cilium",
        &[],
        &[
            "/bin/bash",
            "-ec",
            "grpc-health-probe -addr=127.0.0.1:4245 -rpc-timeout=2s -tls -tls-ca-cert=/certs/client/ca.crt -tls-client-cert=/certs/client/tls.crt \
             -tls-client-key=/certs/client/tls.key -tls-server-name=\"*.hubble-relay.cilium.io\"\n",
        ],
        "local grpcs 4245",
    ),
    ("stable/kiam", &[], &["/kiam", "health", "--cert=/etc/kiam/tls/cert", "--server-address=localhost:443", "--timeout=5s"], ""),
    // Others.
    ("incubator/kafka", &[], &["kafka-topics", "--zookeeper", "my-zookeeper:2181", "--list"], "remote ZooKeeper 2181"),
    (
        "artisantek/probes",
        &[("REDIS_HOST", "redis")],
        &["/bin/sh", "-c", "redis-cli -h $REDIS_HOST ping | grep PONG"],
        "remote Redis 6379",
    ),
    (
        "artisantek/probes, host from a ConfigMap",
        &[("REDIS_HOST", "@elsewhere")],
        &["/bin/sh", "-c", "redis-cli -h $REDIS_HOST ping | grep PONG"],
        "setting Redis 6379",
    ),
    (
        "artisantek/probes, host not declared",
        &[],
        &["/bin/sh", "-c", "redis-cli -h $REDIS_HOST ping | grep PONG"],
        "unknown Redis 6379",
    ),
    (
        "Mnyu/sample-system",
        &[],
        &["bash", "-c", "echo pg_isready -h postgres\nif [ $? = 0 ]; then\n echo Ready\nelse\n echo Not >&2\nfi"],
        "",
    ),
    (
        "order-processing chart",
        &[],
        &["sh", "-c", "until nc -z kafka 29092; do echo waiting for kafka; sleep 2; done;"],
        "remote tcp 29092",
    ),
    (
        "order-processing chart",
        &[],
        &["sh", "-c", "until pg_isready -h postgres -p 5432; do echo waiting for postgres; sleep 2; done;"],
        "remote PostgreSQL 5432",
    ),
    (
        "bitnami/argo-cd wait, as a probe",
        &[("REDIS_HOST", "argocd-redis"), ("REDIS_PORT_NUMBER", "6379")],
        &["sh", "-c", "redis-cli -h ${REDIS_HOST} -p ${REDIS_PORT_NUMBER} -a ${REDIS_PASSWORD} --user ${REDIS_USER} PING"],
        "remote Redis 6379",
    ),
    (
        "stable/contour hook, as a probe",
        &[],
        &[
            "bash",
            "-c",
            "--",
            "echo",
            "-ne",
            "POST /healthcheck/fail HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            ">/dev/tcp/localhost/9001",
        ],
        "never fails",
    ),
];

const MADE_UP: &[Row<'_>] = &[
    // Cannot fail.
    ("", &[], &["true"], "never fails"),
    ("", &[], &["/bin/true"], "never fails"),
    ("", &[], &["echo", "ok"], "never fails"),
    ("", &[], &["busybox", "true"], "never fails"),
    ("", &[], &["sleep", "0"], "never fails"),
    ("", &[], &["sleep", "0.5"], "never fails"),
    ("", &[], &["sleep", "5"], ""),
    ("", &[], &["sh", "-c", "exit 0"], "never fails"),
    ("", &[], &["sh", "-c", "exit"], ""),
    ("", &[], &["sh", "-c", "exit 1"], ""),
    ("", &[], &["/bin/bash", "-c", "true"], "never fails"),
    ("", &[], &["env", "-u", "X", "timeout", "5", "true"], "never fails"),
    ("", &[], &["sh", "-c", "echo 'all is well' >/dev/null 2>&1"], "never fails"),
    ("", &[], &["sh", "-c", "echo \"$STATUS\""], "never fails"),
    ("", &[], &["sh", "-c", "printf '%d' x"], ""),
    ("", &[], &["sh", "-c", "curl -f localhost:8080/ready || true"], "never fails; local http 8080"),
    ("", &[], &["sh", "-c", "curl -f localhost || exit 0"], "never fails; local http 80"),
    ("", &[], &["sh", "-c", "curl -f localhost || echo failed"], "never fails; local http 80"),
    ("", &[], &["sh", "-c", "curl -f localhost || exit 1"], "local http 80"),
    ("", &[], &["sh", "-c", "curl -f localhost; exit 0"], "never fails; local http 80"),
    ("", &[], &["sh", "-c", "curl -f localhost; echo done"], "never fails; local http 80"),
    ("", &[], &["sh", "-c", "curl -f localhost && echo done"], "local http 80"),
    ("", &[], &["sh", "-c", "curl -f localhost\n# all is well\ntrue\n"], "never fails; local http 80"),
    ("", &[], &["sh", "-c", "if curl -f localhost; then echo up; else echo down; fi; exit 0"], "never fails; local http 80"),
    ("", &[], &["sh", "-c", "if curl -f localhost; then exit 0; else exit 1; fi"], "local http 80"),
    ("", &[], &["sh", "-c", "curl -f localhost || { echo down; exit 1; }; exit 0"], "local http 80"),
    ("", &[], &["sh", "-c", "(curl -f localhost) || true"], "never fails; local http 80"),
    ("", &[], &["sh", "-c", "set -e; curl -f localhost; true"], "local http 80"),
    ("", &[], &["sh", "-ec", "false; true"], ""),
    ("", &[], &["sh", "-ec", "false || true"], "never fails"),
    ("", &[], &["bash", "-o", "pipefail", "-c", "false | true"], ""),
    ("", &[], &["bash", "-c", "false | true"], "never fails"),
    ("", &[], &["sh", "-c", "test -f /tmp/ready && echo ok"], ""),
    ("", &[], &["sh", "-c", "[ -f /tmp/ready ] && exit 0; exit 1"], ""),
    ("", &[], &["sh", "-c", "exit 1 || true"], ""),
    ("", &[], &["sh", "-c", "exec false; true"], ""),
    ("", &[], &["sh", "-c", ". /lib.sh; true"], ""),
    ("", &[], &["sh", "-c", "echo \"${NAME:?not set}\""], ""),
    ("", &[], &["sh", "-c", "echo '|| true' | grep x"], ""),
    ("", &[], &["sh", "-c", "grep x /y || true && false"], ""),
    ("", &[], &["sh", "-c", "! true"], ""),
    ("", &[], &["sh", "-c", "true &"], ""),
    ("", &[], &["sh", "-c", "echo ok > /full/disk"], ""),
    ("", &[], &["sh", "-c", "while ! test -f /x; do sleep 1; done; true"], ""),
    ("", &[], &["sh", "-c", "sleep 10; true"], ""),
    ("", &[], &["sh", "-c", "true() { return 1; }; true"], ""),
    ("", &[], &["sh", "-c", "cat <<EOF\n|| true\nEOF"], ""),
    ("", &[], &["sh", "-c", "$CHECK"], ""),
    ("", &[], &["sh", "-c", ""], ""),
    ("", &[], &["sh", "-c", "'unbalanced"], ""),
    ("", &[], &["sh", "-c", "$(((((((((((((((((((((("], ""),
    ("", &[], &[], ""),
    // Whom: local.
    ("", &[], &["curl", "-sSfo", "/dev/null", "http://127.0.0.1:8080/"], "local http 8080"),
    ("", &[], &["curl", "-fsSk", "-m", "5", "https://[::1]:8443/healthz"], "local http 8443"),
    ("", &[], &["curl", "-f", "http://0.0.0.0:8080"], "local http 8080"),
    ("", &[], &["sh", "-c", "curl -f http://$HOSTNAME:8080/"], "local http 8080"),
    ("", &[], &["sh", "-c", "curl -f http://$(hostname -i):8080/"], "local http 8080"),
    ("", &[], &["sh", "-c", "curl -f http://`hostname`.web.shop.svc:8080/"], "local http 8080"),
    ("", &[("POD", "@metadata.name")], &["sh", "-c", "curl -f http://${POD}.web:8080/"], "local http 8080"),
    ("", &[("POD_IP", "@status.podIP")], &["sh", "-c", "IP=$POD_IP; curl -f http://$IP:8080/"], "local http 8080"),
    ("", &[], &["sh", "-c", "redis-cli -s /run/redis.sock ping"], "local Redis ?"),
    ("", &[], &["curl", "--unix-socket", "/run/docker.sock", "http://docker/ping"], "unknown http 80"),
    ("", &[], &["rabbitmqadmin", "-H", "localhost", "list", "queues"], "local http 15672"),
    ("", &[], &["nslookup", "kubernetes.default.svc.cluster.local", "127.0.0.1"], "local dns 53"),
    ("", &[], &["dig", "@127.0.0.1", "-p", "1053", "example.com"], "local dns 53"),
    ("", &[], &["timeout", "1", "bash", "-c", "</dev/tcp/127.0.0.1/8080"], "local tcp 8080"),
    // Whom: other.
    ("", &[], &["curl", "-f", "http://orders.shop.svc:8080/health/ready"], "remote http 8080"),
    ("", &[], &["curl", "-f", "http://user:password@orders:8080/"], "remote http 8080"),
    ("", &[("URL", "http://orders:8080/")], &["curl", "-f", "$(URL)"], "remote http 8080"),
    ("", &[("HOST", "orders"), ("URL", "http://$(HOST):8080/")], &["sh", "-c", "curl -f \"$URL\""], "remote http 8080"),
    ("", &[], &["wget", "-q", "--spider", "--timeout=2", "http://orders/"], "remote http 80"),
    ("", &[], &["http", "--check-status", "GET", "orders:8080/health"], "remote http 8080"),
    ("", &[], &["nc", "-zv", "-w", "2", "10.0.0.9", "5432"], "remote tcp 5432"),
    ("", &[], &["telnet", "orders", "8080"], "remote tcp 8080"),
    ("", &[], &["bash", "-c", "exec 3<>/dev/tcp/db/5432"], "remote tcp 5432"),
    ("", &[], &["timeout", "1", "bash", "-c", "cat < /dev/null > /dev/tcp/db/3306"], "remote tcp 3306"),
    ("", &[("PGHOST", "db")], &["pg_isready"], "remote PostgreSQL 5432"),
    ("", &[], &["sh", "-c", "PGHOST=db pg_isready"], "remote PostgreSQL 5432"),
    ("", &[], &["env", "PGHOST=db", "psql", "-c", "select 1"], "remote PostgreSQL 5432"),
    ("", &[], &["psql", "postgresql://user:password@db:6432/app", "-c", "select 1"], "remote PostgreSQL 6432"),
    ("", &[], &["psql", "-d", "host=db dbname=app", "-c", "select 1"], "remote PostgreSQL 5432"),
    ("", &[], &["mysqladmin", "ping", "-hdb", "-P3307"], "remote MySQL 3307"),
    ("", &[("MYSQL_HOST", "db")], &["mysqladmin", "ping"], "local MySQL 3306"),
    ("", &[], &["redis-cli", "-u", "redis://:password@cache:6380/0", "ping"], "remote Redis 6380"),
    ("", &[("REDIS_HOST", "cache")], &["redis-cli", "ping"], "local Redis 6379"),
    (
        "",
        &[],
        &["mongosh", "mongodb://user:password@a:27017,b:27018/db", "--eval", "1"],
        "remote MongoDB 27017; remote MongoDB 27018",
    ),
    ("", &[], &["mongo", "db:27017/admin", "--eval", "1"], "remote MongoDB 27017"),
    ("", &[], &["mongo", "--host", "rs0/a:27017,b:27017"], "remote MongoDB 27017; remote MongoDB 27017"),
    ("", &[], &["mongo", "admin", "--eval", "1"], "local MongoDB 27017"),
    ("", &[], &["cqlsh", "-e", "describe cluster", "cassandra", "9042"], "remote Cassandra 9042"),
    ("", &[], &["rabbitmqadmin", "--host=broker", "list", "queues"], "remote http 15672"),
    ("", &[], &["grpc_health_probe", "-addr", "orders:50051"], "remote grpc 50051"),
    (
        "",
        &[],
        &["kafka-broker-api-versions.sh", "--bootstrap-server", "kafka-a:9092,kafka-b:9092"],
        "remote Kafka 9092; remote Kafka 9092",
    ),
    ("", &[], &["kafka-topics.sh", "--bootstrap-server", "localhost:9092", "--list"], "local Kafka 9092"),
    (
        "",
        &[],
        &["etcdctl", "--endpoints=localhost:2379,https://etcd-1:2379", "endpoint", "health"],
        "local etcd 2379; own etcd 2379",
    ),
    ("", &[], &["nslookup", "kubernetes.default"], "unknown dns 53"),
    ("", &[], &["dig", "@8.8.8.8", "example.com"], "remote dns 53"),
    ("", &[], &["su", "-", "postgres", "-c", "pg_isready -h db"], "remote PostgreSQL 5432"),
    ("", &[], &["sudo", "-u", "app", "nice", "-n", "5", "curl", "-f", "orders:80"], "remote http 80"),
    ("", &[], &["sh", "-c", "test \"$(curl -s -o /dev/null -w '%{http_code}' http://orders/)\" = 200"], "remote http 80"),
    ("", &[("ORDERS_SERVICE_HOST", "@elsewhere")], &["sh", "-c", "curl -f $ORDERS_SERVICE_HOST:80"], "setting http 80"),
    // Its own Service, or one of its own pods: which cannot be told.
    ("", &[], &["curl", "-f", "http://web.shop.svc:8080/"], "own http 8080"),
    ("", &[], &["curl", "-f", "http://web-0.web-headless:8080/"], "own http 8080"),
    ("", &[], &["curl", "-f", "http://web-db:8080/"], "remote http 8080"),
    // Not expanded without a shell.
    ("", &[], &["curl", "-f", "http://$ORDERS_HOST:8080/"], "unknown http 8080"),
    ("", &[], &["curl", "-f", "http://$(hostname):8080/"], "unknown http 8080"),
    ("", &[], &["sh", "-c", "curl -f 'http://$ORDERS_HOST:8080/'"], "unknown http 8080"),
    ("", &[], &["sh", "-c", "H=orders; [ -n \"$X\" ] && H=localhost; curl -f http://$H/"], "unknown http 80"),
    ("", &[], &["sh", "-c", "for h in a b; do curl -f http://$h/; done"], "unknown http 80"),
    ("", &[], &["curl", "--some-new-option", "value", "http://localhost/"], "unknown http 80; local http 80"),
    ("", &[], &["curl", "--resolve", "orders:80:127.0.0.1", "http://orders/"], "unknown http 80"),
    ("", &[], &["nc", "-l", "-p", "8080"], ""),
    ("", &[], &["curl", "-f", "http://db.\u{1b}[31m/"], "unknown http 80"),
    ("", &[], &["sh", "-c", "curl -f http://orders.$NAMESPACE.svc/"], "remote http 80"),
    ("", &[], &["sh", "-c", "echo curl http://orders"], "never fails"),
    ("", &[], &["sh", "-c", "grep 'curl http://orders' /log"], ""),
];

fn reading(env: &[(&str, &str)], command: &[&str]) -> String {
    let env: Vec<_> = env
        .iter()
        .map(|(name, value)| match value.strip_prefix('@') {
            Some("elsewhere") => {
                json!({ "name": name, "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "host" } } })
            }
            Some(field) => json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": field } } }),
            None => json!({ "name": name, "value": value }),
        })
        .collect();
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": { "selector": {}, "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [
            { "name": "main", "image": "web", "env": env, "livenessProbe": { "exec": { "command": command }, "timeoutSeconds": 5 } }
        ] } } }
    })
    .to_string();
    let workload = Workload::from_json(&object).expect("decodes").expect("a workload");
    let container = &workload.containers[0];
    let probe = container.liveness_probe.as_ref().expect("a probe");
    let reading = Reading::of_probe(probe, container, &workload).expect("an exec probe");
    let mut parts = Vec::new();
    if reading.cannot_fail(5).is_some() {
        parts.push("never fails".to_owned());
    }
    for target in reading.targets() {
        let reach = match target.reach {
            Reach::Local => "local",
            Reach::Remote => "remote",
            Reach::OwnService => "own",
            Reach::Setting => "setting",
            Reach::Unknown => "unknown",
        };
        let protocol = match target.protocol {
            Protocol::Http => "http",
            Protocol::Grpc { tls: false } => "grpc",
            Protocol::Grpc { tls: true } => "grpcs",
            Protocol::Dns => "dns",
            Protocol::Tcp => "tcp",
            Protocol::DataStore(name) | Protocol::Other(name) => name,
        };
        let port = target.port.map_or("?".to_owned(), |port| port.to_string());
        parts.push(format!("{reach} {protocol} {port}"));
        for (_, value) in env.iter().filter_map(|variable| Some((variable["name"].as_str()?, variable["value"].as_str()?))) {
            assert!(value.len() < 3 || !target.host.contains(value), "{command:?} shows a value: {}", target.host);
        }
        assert!(!target.host.contains("password"), "{command:?}: {}", target.host);
    }
    parts.join("; ")
}

fn check(rows: &[Row<'_>]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(seen, env, command, expected)| {
            let found = reading(env, command);
            (found != *expected).then(|| format!("{seen}: {command:?}\n  expected {expected:?}\n  found    {found:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} wrong\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn commands_of_public_charts_are_read() {
    assert!(FROM_CHARTS.len() >= 120, "{}", FROM_CHARTS.len());
    check(FROM_CHARTS);
}

#[test]
fn forms_are_read() {
    check(MADE_UP);
}

/// Texts that look like shell, with everything that could confuse a reader.
fn script() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "curl",
            "-f",
            "http://",
            "localhost",
            "${A:-x}",
            "$(",
            ")",
            "`",
            "'",
            "\"",
            "\\",
            "\n",
            ";",
            "&&",
            "||",
            "|",
            "&",
            "if",
            "then",
            "fi",
            "case",
            "in",
            "esac",
            ";;",
            "{",
            "}",
            "(",
            "((",
            "<<EOF",
            "<",
            ">",
            "2>&1",
            "/dev/tcp/",
            "$",
            "$((",
            "[[",
            "]]",
            "!",
            "#",
            "exit",
            "0",
            "sh",
            "-c",
            "for",
            "do",
            "done",
            "while",
            "f()",
            "A=b",
            "$A",
            "${",
            "true",
            "\u{E000}",
            "é",
            "psql",
            "-h",
            "nc",
            "mongo",
            "@",
            ":",
            ",",
            "/",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
        "\\PC{0,3}",
    ];
    prop::collection::vec((piece, prop::bool::ANY), 0..40).prop_map(|pieces| {
        pieces.into_iter().fold(String::new(), |text, (piece, space)| text + &piece + if space { " " } else { "" })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn reading_never_panics(shell in prop::bool::ANY, words in prop::collection::vec(script(), 0..6), value in script()) {
        let mut command: Vec<&str> = if shell { vec!["sh", "-c"] } else { Vec::new() };
        command.extend(words.iter().map(String::as_str));
        reading(&[("A", value.trim_start_matches('@'))], &command);
    }
}

#[test]
fn deep_and_long_scripts_are_left_alone() {
    for piece in [
        "(",
        "{ ",
        "$(",
        "${a:-",
        "`",
        "\"$(",
        "if ",
        "while ",
        "! ",
        "sh -c '",
        "f() ",
        "<<a ",
        "case x in (",
        "a=b ",
        "| ",
        "\\",
    ] {
        for count in [10, 500, 100_000] {
            reading(&[], &["sh", "-c", &piece.repeat(count)]);
            reading(&[("A", &"$(A)".repeat(count))], &[&piece.repeat(count), "$(A)"]);
        }
    }
    let many: Vec<String> = (0..20_000).map(|at| format!("w{at}")).collect();
    reading(&[], &many.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The one `httpGet` that is certainly the same as a command, as `scheme port path`.
fn request(env: &[(&str, &str)], command: &[&str]) -> Option<String> {
    let env: Vec<_> = env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let probe = json!({ "exec": { "command": command }, "timeoutSeconds": 5 });
    let container = json!({ "name": "main", "image": "web", "env": env, "livenessProbe": probe });
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" }, "spec": { "containers": [container] }
    })
    .to_string();
    let policy = Policy::builtin(Profile::Recommended);
    let workload = Workload::from_json(&object).expect("decodes").expect("a workload");
    let evaluation = evaluate(&policy, &workload, probekeeper::clock::today());
    let rewrite = evaluation
        .findings
        .iter()
        .filter(|finding| finding.rule.id == "exec-http-client")
        .find_map(|finding| finding.rewrite.first())?;
    assert_eq!(rewrite.pointer, "/spec/containers/0/livenessProbe/exec");
    let Change::Replace("httpGet", entries) = &rewrite.change else { panic!("{rewrite:?}") };
    let values: Vec<String> = entries
        .iter()
        .map(|(key, value)| match value {
            Scalar::Integer(number) => format!("{key} {number}"),
            Scalar::Text(text) => format!("{key} {text}"),
        })
        .collect();
    Some(values.join(", "))
}

#[test]
fn only_what_is_certainly_the_same_request_is_rewritten() {
    let sh = |script: &'static str| vec!["sh", "-c", script];
    let exact: Vec<(Vec<&str>, &str)> = vec![
        (vec!["curl", "-f", "http://localhost:8080/healthz"], "path /healthz, port 8080"),
        (vec!["curl", "-fsS", "localhost"], "path /, port 80"),
        (vec!["/usr/bin/curl", "--fail", "--silent", "-k", "https://127.0.0.1/a?b=c"], "path /a?b=c, port 443, scheme HTTPS"),
        (vec!["curl", "-sfo", "/dev/null", "http://[::1]:81/"], "path /, port 81"),
        (vec!["curl", "-f", "-o/dev/null", "http://localhost:1/x"], "path /x, port 1"),
        (sh("curl -f http://localhost:8080/x"), "path /x, port 8080"),
        (sh("curl -f 'http://localhost:8080/x' >/dev/null 2>&1 || exit 1"), "path /x, port 8080"),
        (sh("curl -f localhost || false"), "path /, port 80"),
        (sh("curl -f localhost:80/2>&1"), "path /2, port 80"),
        (vec!["wget", "-qO-", "http://localhost:8080/x"], "path /x, port 8080"),
        (vec!["wget", "-q", "-O", "/dev/null", "-t", "1", "http://127.0.0.1:8080/x"], "path /x, port 8080"),
        (vec!["wget", "-nv", "--tries=1", "--output-document=-", "http://127.0.0.1:8080/x"], "path /x, port 8080"),
    ];
    for (command, expected) in exact {
        assert_eq!(request(&[], &command).as_deref(), Some(expected), "{command:?}");
        assert_eq!(request(&[("HTTP_PROXY", "http://proxy")], &command), None, "{command:?}");
    }
    let other: Vec<Vec<&str>> = vec![
        vec!["curl", "http://localhost:8080/healthz"],
        vec!["curl", "-fL", "http://localhost"],
        vec!["curl", "-fI", "http://localhost"],
        vec!["curl", "-f", "-m", "3", "http://localhost"],
        vec!["curl", "-f", "-H", "Host: x", "http://localhost"],
        vec!["curl", "-f", "-o", "/tmp/x", "http://localhost"],
        vec!["curl", "-f", "-o", "/tmp/x", "-o", "/dev/null", "http://localhost"],
        vec!["curl", "-f", "-X", "POST", "http://localhost"],
        vec!["curl", "-f", "--http2", "http://localhost"],
        vec!["curl", "-f", "https://localhost/unless-the-certificate-is-good"],
        vec!["curl", "-f", "http://other:8080/x"],
        vec!["curl", "-f", "http://web:8080/x"],
        vec!["curl", "-f", "http://user@localhost/x"],
        vec!["curl", "-f", "http://localhost@other/x"],
        vec!["curl", "-f", "http://localhost#@other/x"],
        vec!["curl", "-f", "http://localhost:$(PORT)/x"],
        vec!["curl", "-f", "http://localhost/$(X)"],
        vec!["curl", "-f", "http://localhost/{a,b}"],
        vec!["curl", "-f", "http://localhost/a#b"],
        vec!["curl", "-f", "http://localhost/a/../b"],
        vec!["curl", "-f", "http://localhost/a b"],
        vec!["curl", "-f", "http://localhost?a"],
        vec!["curl", "-f", "ftp://localhost/a"],
        vec!["curl", "-f", "http://localhost:0/a"],
        vec!["curl", "-f", "http://localhost:/a"],
        vec!["curl", "-f", "http://localhost:99999/a"],
        vec!["curl", "-f", "localhost", "localhost"],
        vec!["curl", "-f"],
        sh("curl -f localhost || true"),
        sh("curl -f localhost || exit 0"),
        sh("curl -f localhost || exit $CODE"),
        sh("curl -f localhost | grep ok"),
        sh("curl -f localhost < /tmp/x"),
        sh("curl -f localhost > /tmp/x"),
        sh("curl -f localhost >&-"),
        sh("curl -f \"localhost > /dev/null"),
        sh("curl -f localhost/$X"),
        sh("curl -f localhost/*"),
        sh("! curl -f localhost"),
        sh("curl -f localhost &"),
        sh("x && curl -f localhost"),
        sh("x; curl -f localhost"),
        sh("echo x || curl -f localhost"),
        sh("X=1 curl -f localhost"),
        sh("cd /x; curl -f localhost"),
        sh("timeout 3 curl -f localhost"),
        vec!["timeout", "3", "curl", "-f", "localhost"],
        vec!["env", "X=1", "curl", "-f", "localhost"],
        vec!["sudo", "curl", "-f", "localhost"],
        vec!["sh", "-nc", "curl -f localhost"],
        vec!["sh", "-c", "curl -f localhost", "x"],
        vec!["wget", "--spider", "-q", "http://localhost"],
        vec!["wget", "-q", "http://localhost"],
        vec!["wget", "-qO", "/tmp/x", "http://localhost"],
        vec!["wget", "-qO-", "-T", "3", "http://localhost"],
        vec!["wget", "-qO-", "https://localhost"],
        vec!["wget", "-qO-", "--post-data=x", "http://localhost"],
        vec!["cat", "/x"],
    ];
    let wrong: Vec<_> = other.iter().filter_map(|command| Some((command, request(&[], command)?))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
