import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Kafka's own consumer as a member of a group, with the protocol of interop/groups/doc.go. */
public final class GroupWorker implements ConsumerRebalanceListener {
    private static final Map<String, String> ASSIGNORS = Map.of(
        "range", "org.apache.kafka.clients.consumer.RangeAssignor",
        "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final KafkaConsumer<String, String> consumer;
    private final Map<TopicPartition, OffsetAndMetadata> pending = new HashMap<>();
    private volatile boolean stopped;

    private GroupWorker(String addr, JsonNode member) {
        Properties config = new Properties();
        config.put("bootstrap.servers", addr);
        config.put("group.id", member.get("group").asText());
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        config.put("fetch.max.wait.ms", "200");
        config.put("metadata.max.age.ms", "2000");
        config.put("reconnect.backoff.max.ms", "200");
        config.put("group.protocol", member.get("protocol").asText());
        if (member.has("instance")) {
            config.put("group.instance.id", member.get("instance").asText());
        }
        if (member.get("protocol").asText().equals("classic")) {
            config.put("session.timeout.ms", member.get("session").asText());
            config.put("heartbeat.interval.ms", member.get("heartbeat").asText());
            config.put("partition.assignment.strategy", ASSIGNORS.get(member.get("assignor").asText()));
        }
        consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        if (member.has("pattern")) {
            consumer.subscribe(new SubscriptionPattern(member.get("pattern").asText()), this);
            return;
        }
        List<String> topics = new ArrayList<>();
        member.get("topics").forEach(t -> topics.add(t.asText()));
        consumer.subscribe(topics, this);
    }

    public static void main(String[] args) throws Exception {
        GroupWorker worker = new GroupWorker(args[0], Client.JSON.readTree(args[1]));
        Thread end = new Thread(worker::awaitEnd);
        end.setDaemon(true);
        end.start();
        worker.run();
        System.exit(0);
    }

    private void awaitEnd() {
        try {
            while (System.in.read() >= 0) { }
        } catch (java.io.IOException e) {
            e.printStackTrace();
        }
        stopped = true;
        consumer.wakeup();
    }

    private void run() {
        while (!stopped) {
            try {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(500))) {
                    TopicPartition at = new TopicPartition(r.topic(), r.partition());
                    line("record", at + " " + r.offset() + " " + r.value());
                    pending.put(at, new OffsetAndMetadata(r.offset() + 1));
                }
                commit();
            } catch (WakeupException e) {
                // stopped
            }
        }
        commit();
        consumer.close();
        line("left", "");
    }

    /** Commits the printed records; during a rebalance it waits for the next round or the revocation. */
    private void commit() {
        for (int tries = 0; !pending.isEmpty(); tries++) {
            try {
                consumer.commitSync(pending);
                pending.forEach((at, o) -> line("committed", at + " " + o.offset()));
                pending.clear();
            } catch (RebalanceInProgressException e) {
                return;
            } catch (WakeupException e) {
                continue; // the worker is being stopped, but must commit the printed records
            } catch (CommitFailedException e) {
                line("failed", e.getClass().getSimpleName());
                pending.clear();
            } catch (KafkaException e) {
                if (tries > 3) {
                    line("failed", e.toString());
                    pending.clear();
                }
            }
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        line("assigned", names(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        commit();
        boolean all = pending.isEmpty();
        pending.keySet().removeAll(partitions);
        line(all ? "revoked" : "lost", names(partitions));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        pending.keySet().removeAll(partitions);
        line("lost", names(partitions));
    }

    private static String names(Collection<TopicPartition> partitions) {
        List<String> all = new ArrayList<>();
        partitions.forEach(p -> all.add(name(p.toString())));
        return String.join(" ", all);
    }

    /** "t-0" as "t/0". */
    private static String name(String partition) {
        int dash = partition.lastIndexOf('-');
        return partition.substring(0, dash) + "/" + partition.substring(dash + 1);
    }

    private void line(String kind, String rest) {
        Instant now = Instant.now();
        long micros = now.getEpochSecond() * 1_000_000 + now.getNano() / 1_000;
        int gen = kind.equals("left") ? -1 : consumer.groupMetadata().generationId();
        if (kind.equals("record") || kind.equals("committed")) {
            int blank = rest.indexOf(' ');
            rest = name(rest.substring(0, blank)) + rest.substring(blank);
        }
        System.out.println(micros + " " + kind + " " + gen + " " + rest);
    }
}
