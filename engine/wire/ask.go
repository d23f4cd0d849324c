package wire

import (
	"weft/engine/host"
	"weft/engine/host/row"
)

// Ask puts one question to a reading half of the host's doors, for verbs that
// put together what many hosts say. It changes nothing on the host. Exactly one
// field is set. What cannot be answered is told in the [Answer], and is no
// refusal of the request.
type Ask struct {
	Rows *Rows `json:"rows,omitempty"`
	// Query is a program that changes nothing, by argv.
	Query  []string    `json:"query,omitempty"`
	Daemon *DaemonCall `json:"daemon,omitempty"`
	// Ping sends packets, and nothing else here does.
	Ping *host.Ping `json:"ping,omitempty"`
}

// Rows asks for rows of a table.
type Rows struct {
	Database host.Database `json:"database"`
	Table    string        `json:"table"`
	// Columns are those wanted beside _uuid; all where empty.
	Columns []string `json:"columns,omitempty"`
	// Where are columns that must be equal to a string or a whole number.
	Where map[string]any `json:"where,omitempty"`
}

// DaemonCall is a question to a daemon of Open vSwitch, see [host.Daemons].
type DaemonCall struct {
	Daemon  string   `json:"daemon"`
	Command string   `json:"command"`
	Args    []string `json:"args,omitempty"`
}

// AnswerRows is how many rows come in one Answer at most; the rest come in
// further ones.
const AnswerRows = 1000

// Answer is what an Ask brought. The strings are the host's words: they may hold
// anything.
type Answer struct {
	Rows []row.Record `json:"rows,omitempty"`
	// Text is what a program wrote to stdout, or a daemon's answer.
	Text string           `json:"text,omitempty"`
	Ping *host.PingReport `json:"ping,omitempty"`
	// Absent says that what was asked is not there: no such database,
	// program or daemon runs on the host.
	Absent bool   `json:"absent,omitempty"`
	Error  string `json:"error,omitempty"` // with Absent too
}
