package config

import "strings"

// Error is an invalid configuration: the key, the value, and one line for the
// user or client.
type Error struct {
	// Name is the key, or empty if the error is not about a single key.
	Name string
	// Value is the refused value. It is empty if the message is sufficient.
	Value string
	// Message has Kafka's wording where clients see it. It is the error message
	// of the response.
	Message string
	// Where is the place that set the value, such as "server.properties:12";
	// empty for requests of clients.
	Where string
	// Kind selects the Kafka error code.
	Kind Kind

	// required marks errors that Kafka reports with the prefix "requirement
	// failed: ".
	required bool
}

// Kind groups errors by their Kafka error code.
type Kind uint8

// The kinds of Error.
const (
	InvalidConfig  Kind = iota // INVALID_CONFIG (40)
	InvalidRequest             // INVALID_REQUEST (42)
)

// Error returns the message and the place that set the value, in one line.
func (e *Error) Error() string {
	line := e.Message
	if e.Where != "" {
		line += " (set by " + e.Where + ")"
	}
	return lineBreaks.Replace(line)
}

// lineBreaks escapes line breaks, which a value may contain but a one-line
// message may not.
var lineBreaks = strings.NewReplacer("\n", `\n`, "\r", `\r`)
