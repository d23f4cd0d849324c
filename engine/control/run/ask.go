package run

import (
	"context"
	"slices"
	"sync"

	"weft/engine/wire"
)

// Ask puts questions to hosts, by name, and returns their answers in the order
// of the questions. It may be called again: what a host says leads to the next
// question, and its session is kept until Close. A host that was not reached,
// now or before, is not among the answers.
func (r *Run) Ask(ctx context.Context, questions map[string][]wire.Ask) map[string][]wire.Answer {
	if !slices.ContainsFunc(r.members, func(m *member) bool { return m.session != nil }) {
		r.begin()
	}
	var asked []*member
	for _, m := range r.members {
		if len(questions[m.host.Name]) > 0 && !m.isOut() {
			asked = append(asked, m)
		}
	}
	var mu sync.Mutex
	out := map[string][]wire.Answer{}
	r.forEach(asked, func(m *member) {
		defer r.tellDone(m, "", Planning)
		answers, err := m.question(ctx, questions[m.host.Name])
		if err != nil {
			return // told already
		}
		mu.Lock()
		defer mu.Unlock()
		out[m.host.Name] = answers
	})
	return out
}

// question puts questions to the host in one write.
func (m *member) question(ctx context.Context, questions []wire.Ask) ([]wire.Answer, error) {
	requests := make([]wire.Request, len(questions))
	for i := range questions {
		requests[i].Ask = &questions[i]
	}
	answers := make([]wire.Answer, len(questions))
	at, answered := 0, false // the question that is being answered
	m.listen = func(e wire.Event) {
		switch {
		case e.Answer != nil && at < len(answers):
			rows := append(answers[at].Rows, e.Answer.Rows...)
			answers[at], answered = *e.Answer, true
			answers[at].Rows = rows
		case e.Done != nil && answered: // else it was a greeting's
			at, answered = at+1, false
		}
	}
	defer func() { m.listen = nil }()
	if m.session == nil {
		return answers, m.connect(ctx, false, requests...)
	}
	return answers, m.call(ctx, Planning, "", requests...)
}
