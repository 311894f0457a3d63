package config

import "strings"

// Error is a refused configuration: the key, the value, and one line that a
// user or client is shown.
type Error struct {
	// Name is the key, or empty when no single key is to blame.
	Name string
	// Value is what was refused; empty where the message says it all.
	Value string
	// Message is worded as Kafka does where clients see it. It is what a
	// response's error message holds.
	Message string
	// Where tells what set the value, such as "server.properties:12"; empty
	// for requests of clients.
	Where string
	// Kind tells which Kafka error code fits.
	Kind Kind

	// required marks what Kafka reports with "requirement failed: " in front.
	required bool
}

// Kind sorts errors by the Kafka error code that answers them.
type Kind uint8

// The kinds of Error.
const (
	InvalidConfig  Kind = iota // INVALID_CONFIG (40)
	InvalidRequest             // INVALID_REQUEST (42)
)

// Error returns the message, and what set the value, in one line.
func (e *Error) Error() string {
	line := e.Message
	if e.Where != "" {
		line += " (set by " + e.Where + ")"
	}
	return lineBreaks.Replace(line)
}

// lineBreaks spells out what a value may hold and a line may not.
var lineBreaks = strings.NewReplacer("\n", `\n`, "\r", `\r`)
