import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Calls every function of Kafka's Admin client about consumer groups, with a static classic member
 * and a member of the consumer protocol running. The result has the format of AdminTour. The topic
 * has two partitions.
 */
final class GroupTour {
    private final Admin admin;
    private final String addr;
    private final String topic;
    private final TopicPartition first;
    private final ObjectNode found = Client.JSON.createObjectNode();

    GroupTour(Admin admin, String addr, String topic) {
        this.admin = admin;
        this.addr = addr;
        this.topic = topic;
        this.first = new TopicPartition(topic, 0);
    }

    JsonNode run() {
        offsets();
        try (KafkaConsumer<byte[], byte[]> classic = member("classic"); KafkaConsumer<byte[], byte[]> consumer = member("consumer")) {
            members();
            removal();
        }
        deletion();
        return found;
    }

    private KafkaConsumer<byte[], byte[]> member(String protocol) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", addr, "group.id", "tour-" + protocol, "group.protocol", protocol,
            "group.instance.id", "fixed-" + protocol, "client.id", "tour", "auto.offset.reset", "earliest", "enable.auto.commit", "false"));
        KafkaConsumer<byte[], byte[]> member = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        member.subscribe(List.of(topic));
        while (member.assignment().size() < 2) {
            member.poll(Duration.ofMillis(100));
        }
        return member;
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

    private void offsets() {
        note("offsets.alter", () -> admin.alterConsumerGroupOffsets("tour-simple", Map.of(first, new OffsetAndMetadata(1, Optional.of(0), "why"))).all().get());
        note("offsets.list", () -> admin.listConsumerGroupOffsets("tour-simple").partitionsToOffsetAndMetadata().get().get(first));
        note("offsets.none", () -> admin.listConsumerGroupOffsets("tour-nobody").partitionsToOffsetAndMetadata().get());
        note("offsets.many", () -> new TreeMap<>(admin.listConsumerGroupOffsets(Map.of(
            "tour-simple", new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(first, new TopicPartition(topic, 1))),
            "tour-nobody", new ListConsumerGroupOffsetsSpec())).all().get()));
        note("offsets.topic", () -> admin.alterConsumerGroupOffsets("tour-simple", Map.of(new TopicPartition(topic + "-unknown", 0), new OffsetAndMetadata(1))).all().get());
        note("offsets.large", () -> admin.alterConsumerGroupOffsets("tour-simple", Map.of(first, new OffsetAndMetadata(1, "x".repeat(5000)))).all().get());
    }

    private void members() {
        note("list.all", () -> groups(new ListGroupsOptions()));
        note("list.consumer", () -> groups(ListGroupsOptions.forConsumerGroups().withTypes(Set.of(GroupType.CONSUMER))));
        note("list.stable", () -> groups(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE))));
        note("list.protocol", () -> groups(new ListGroupsOptions().withProtocolTypes(Set.of("connect"))));
        note("describe.simple", () -> text(describe("tour-simple")));
        note("describe.classic", () -> text(describe("tour-classic")));
        note("describe.consumer", () -> text(describe("tour-consumer")));
        note("describe.nobody", () -> text(describe("tour-nobody")));
        note("describe.classicOnly", () -> admin.describeClassicGroups(List.of("tour-classic")).all().get().get("tour-classic").state());
        note("alter.busy", () -> admin.alterConsumerGroupOffsets("tour-classic", Map.of(first, new OffsetAndMetadata(1))).all().get());
        note("alter.busyConsumer", () -> admin.alterConsumerGroupOffsets("tour-consumer", Map.of(first, new OffsetAndMetadata(1))).all().get());
        note("delete.busy", () -> admin.deleteConsumerGroups(List.of("tour-classic")).all().get());
        note("delete.busyConsumer", () -> admin.deleteConsumerGroups(List.of("tour-consumer")).all().get());
        note("offsets.subscribed", () -> admin.deleteConsumerGroupOffsets("tour-classic", Set.of(first)).all().get());
    }

    private Object groups(ListGroupsOptions options) throws Exception {
        TreeSet<String> all = new TreeSet<>();
        admin.listGroups(options).all().get().forEach(g -> {
            if (g.groupId().startsWith("tour-")) {
                all.add(g.groupId() + " " + g.type().orElse(null) + " " + g.protocol() + " " + g.groupState().orElse(null));
            }
        });
        return all;
    }

    private ConsumerGroupDescription describe(String group) throws Exception {
        return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    }

    private static String text(ConsumerGroupDescription d) {
        StringBuilder out = new StringBuilder();
        out.append(d.groupState()).append(' ').append(d.type()).append(' ').append(d.partitionAssignor()).append(' ').append(d.isSimpleConsumerGroup());
        out.append(' ').append(d.coordinator().id()).append(' ').append(d.groupEpoch().isPresent());
        for (MemberDescription m : d.members()) {
            out.append(" [").append(m.groupInstanceId().orElse(null)).append(' ').append(m.clientId()).append(' ').append(m.host()).append(' ')
                .append(m.assignment().topicPartitions().size()).append(' ').append(m.targetAssignment().map(t -> t.topicPartitions().size()).orElse(-1))
                .append(' ').append(m.upgraded().orElse(null)).append(']');
        }
        return out.toString();
    }

    private void removal() {
        note("remove.unknown", () -> remove("tour-classic", "nobody"));
        note("remove.classic", () -> remove("tour-classic", "fixed-classic"));
        note("removed.classic", () -> describe("tour-classic").members().size());
        note("remove.consumer", () -> remove("tour-consumer", "fixed-consumer"));
        note("removed.consumer", () -> describe("tour-consumer").members().size());
    }

    private Object remove(String group, String instance) throws Exception {
        return admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove(instance)))).all().get();
    }

    private void deletion() {
        note("offsets.delete", () -> admin.deleteConsumerGroupOffsets("tour-simple", Set.of(first)).all().get());
        note("offsets.deleted", () -> admin.listConsumerGroupOffsets("tour-simple").partitionsToOffsetAndMetadata().get());
        note("offsets.deleteNobody", () -> admin.deleteConsumerGroupOffsets("tour-nobody", Set.of(first)).all().get());
        note("delete.simple", () -> admin.deleteConsumerGroups(List.of("tour-simple")).all().get());
        note("delete.again", () -> admin.deleteConsumerGroups(List.of("tour-simple")).all().get());
    }
}
