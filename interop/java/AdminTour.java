import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaFilter;

/**
 * Calls every function of Kafka's Admin client that a single node without groups and security
 * supports. The topic has two partitions and at least three records in partition 0. The result is
 * one flat JSON object; an error is represented by its class name. The values must be equal for
 * Kafka and Ottla.
 */
final class AdminTour {
    private final Admin admin;
    private final String topic;
    private final TopicPartition first;
    private final ConfigResource resource;
    private final ObjectNode found = Client.JSON.createObjectNode();

    AdminTour(Admin admin, String topic) {
        this.admin = admin;
        this.topic = topic;
        this.first = new TopicPartition(topic, 0);
        this.resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    JsonNode run() {
        cluster();
        configs();
        offsets();
        topics();
        disabled();
        errors();
        delete();
        return found;
    }

    /** Records the result of a call, or the name of its exception. */
    private void note(String name, Callable<Object> call) {
        try {
            found.put(name, String.valueOf(call.call()));
        } catch (ExecutionException e) {
            found.put(name, e.getCause().getClass().getSimpleName());
        } catch (Exception e) {
            found.put(name, e.getClass().getSimpleName());
        }
    }

    private void cluster() {
        note("cluster.nodes", () -> admin.describeCluster().nodes().get().size());
        note("cluster.id", () -> admin.describeCluster().clusterId().get().length());
        note("cluster.controller", () -> admin.describeCluster().controller().get().id());
        note("features.supported", () -> new TreeMap<>(admin.describeFeatures().featureMetadata().get().supportedFeatures()));
        note("features.finalized", () -> new TreeMap<>(admin.describeFeatures().featureMetadata().get().finalizedFeatures()));
        note("features.update", () -> admin.updateFeatures(
            Map.of("no.such.feature", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all().get());
        note("quorum.leader", () -> admin.describeMetadataQuorum().quorumInfo().get().leaderId());
        note("quorum.voters", () -> admin.describeMetadataQuorum().quorumInfo().get().voters().size());
        note("quorum.observers", () -> admin.describeMetadataQuorum().quorumInfo().get().observers().size());
        note("logdirs", () -> admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1).values().stream()
            .anyMatch(d -> d.error() == null && d.replicaInfos().containsKey(first)));
        note("logdirs.size", () -> admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1).values().stream()
            .anyMatch(d -> d.replicaInfos().get(first).size() > 0 && d.totalBytes().isPresent()));
    }

    private void configs() {
        note("config.before", () -> value("retention.ms"));
        note("config.set", () -> alter("retention.ms", "77000", AlterConfigOp.OpType.SET));
        note("config.after", () -> value("retention.ms"));
        note("config.append", () -> alter("cleanup.policy", "compact", AlterConfigOp.OpType.APPEND));
        note("config.appended", () -> value("cleanup.policy"));
        note("config.delete", () -> alter("cleanup.policy", "", AlterConfigOp.OpType.DELETE));
        note("config.bad", () -> alter("retention.ms", "soon", AlterConfigOp.OpType.SET));
        note("config.count", () -> admin.describeConfigs(List.of(resource)).all().get().get(resource).entries().size());
        note("config.resources", () -> admin.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions())
            .all().get().contains(resource));
    }

    private Object value(String name) throws Exception {
        // The broker shows a change shortly after the controller has accepted it.
        ConfigEntry entry = admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name);
        return entry.value() + " " + entry.source() + " " + entry.type();
    }

    private Object alter(String name, String value, AlterConfigOp.OpType op) throws Exception {
        admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(name, value), op)))).all().get();
        if (op != AlterConfigOp.OpType.SET || value.equals("77000")) {
            awaitConfig(name, value, op);
        }
        return "ok";
    }

    private void awaitConfig(String name, String value, AlterConfigOp.OpType op) throws Exception {
        while (true) {
            String now = admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name).value();
            boolean there = now.contains(value) && !value.isEmpty();
            if (op == AlterConfigOp.OpType.DELETE ? !now.contains("compact") : there) {
                return;
            }
            Thread.onSpinWait();
        }
    }

    private void offsets() {
        note("offsets.earliest", () -> offset(OffsetSpec.earliest()));
        note("offsets.latest", () -> offset(OffsetSpec.latest()));
        note("offsets.max", () -> offset(OffsetSpec.maxTimestamp()));
        note("offsets.local", () -> offset(OffsetSpec.earliestLocal()));
        note("offsets.tiered", () -> offset(OffsetSpec.latestTiered()));
        note("offsets.timestamp", () -> offset(OffsetSpec.forTimestamp(1)));
        note("producers", () -> admin.describeProducers(List.of(first)).partitionResult(first).get().activeProducers().size());
        note("records.delete", () -> admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(2))).lowWatermarks().get(first).get().lowWatermark());
        note("offsets.after", () -> offset(OffsetSpec.earliest()));
        note("records.beyond", () -> admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(1_000_000))).all().get());
    }

    private Object offset(OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(first, spec)).partitionResult(first).get().offset();
    }

    private void topics() {
        note("topics.listed", () -> admin.listTopics(new ListTopicsOptions()).names().get().contains(topic));
        note("topics.partitions", () -> describe().partitions().size());
        note("topics.leader", () -> describe().partitions().get(0).leader().id() + " " + describe().partitions().get(0).isr().size());
        note("topics.byId", () -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(describe().topicId()))).allTopicIds().get().size());
        note("topics.grow", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get());
        note("topics.shrink", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(1))).all().get());
        note("topics.exists", () -> admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get());
        note("topics.replicas", () -> admin.createTopics(List.of(new NewTopic(topic + "-r", 1, (short) 3))).all().get());
        note("topics.defaults", () -> admin.createTopics(List.of(new NewTopic(topic + "-d", Optional.empty(), Optional.empty()))).numPartitions(topic + "-d").get());
        note("reassign", () -> admin.alterPartitionReassignments(Map.of(first, Optional.of(new NewPartitionReassignment(List.of(7))))).all().get());
        note("reassignments", () -> admin.listPartitionReassignments().reassignments().get().size());
        note("elect", () -> admin.electLeaders(ElectionType.PREFERRED, Set.of(first)).partitions().get().get(first)
            .map(e -> e.getClass().getSimpleName()).orElse("none"));
    }

    private TopicDescription describe() throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    private void disabled() {
        note("acls", () -> admin.describeAcls(AclBindingFilter.ANY).values().get());
        note("tokens", () -> admin.describeDelegationToken().delegationTokens().get());
        note("quotas", () -> admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get().size());
        note("scram", () -> admin.describeUserScramCredentials().all().get().size());
        note("transactions", () -> admin.listTransactions().all().get().size());
    }

    private void errors() {
        note("errors.topic", () -> admin.describeTopics(List.of(topic + "-unknown")).allTopicNames().get());
        note("errors.name", () -> admin.createTopics(List.of(new NewTopic("a b", 1, (short) 1))).all().get());
        note("errors.delete", () -> admin.deleteTopics(List.of(topic + "-unknown")).all().get());
        note("errors.unregister", () -> admin.unregisterBroker(99).all().get());
    }

    private void delete() {
        note("delete.byId", () -> admin.deleteTopics(TopicCollection.ofTopicIds(List.of(describe().topicId()))).all().get());
        note("delete.byName", () -> admin.deleteTopics(List.of(topic + "-d")).all().get());
    }
}
