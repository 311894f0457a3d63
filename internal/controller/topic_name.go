package controller

import (
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// maxTopicName leaves room for the partition's number in a folder's name.
const maxTopicName = 249

// clusterMetadataTopic is the metadata log, which is no topic.
const clusterMetadataTopic = "__cluster_metadata"

// ValidTopicName refuses names that Kafka refuses, with INVALID_TOPIC_EXCEPTION
// and Kafka's words. A name is also a folder's.
func ValidTopicName(name string) error {
	var reason string
	switch {
	case name == "":
		reason = "the empty string is not allowed"
	case name == "." || name == "..":
		reason = "'" + name + "' is not allowed"
	case utf8.RuneCountInString(name) > maxTopicName:
		reason = "the length of '" + name + "' is longer than the max allowed length 249"
	case strings.ContainsFunc(name, badTopicRune):
		reason = "'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
	default:
		return nil
	}
	return protocol.Errorf(protocol.InvalidTopicException, "Topic name is invalid: %s", reason)
}

func badTopicRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
		return false
	}
	return true
}

// collisionOf is the name of a topic that differs from name only in having '.'
// for '_' or the other way round, or name itself; "" when there is none. The
// metrics of two such topics would have one name.
//
// Every such topic begins like name does up to its first '.' or '_', so only
// these are looked at.
func collisionOf(img *metadata.Image, name string) string {
	first := strings.IndexAny(name, "._")
	if first < 0 {
		return ""
	}
	unified := strings.ReplaceAll(name, ".", "_")
	for t := range img.TopicsFrom(name[:first]) {
		if !strings.HasPrefix(t.Name, name[:first]) {
			break
		}
		if strings.ReplaceAll(t.Name, ".", "_") == unified {
			return t.Name
		}
	}
	return ""
}

// manyNames is the number of new topics from which on a table of the existing
// ones costs less than a scan for each.
const manyNames = 16

// collisions returns the function that finds the existing topic with which the
// metrics of a new topic would collide, empty if there is none.
func collisions(img *metadata.Image, topics []*kmsg.CreateTopicsRequestTopic) func(name string) string {
	if len(topics) < manyNames {
		return func(name string) string { return collisionOf(img, name) }
	}
	unified := map[string]string{}
	for t := range img.Topics() {
		unified[strings.ReplaceAll(t.Name, ".", "_")] = t.Name
	}
	return func(name string) string { return unified[strings.ReplaceAll(name, ".", "_")] }
}
