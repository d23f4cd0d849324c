package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weft/engine/host"
)

// cameRecord says which packages builddep brought, of all the calls that were made for
// one result.
type cameRecord struct {
	Came []string      `json:"came,omitzero"`
	Call *builddepCall `json:"call,omitzero"` // that is under way, or was cut
}

// A builddepCall is what is known before the call.
type builddepCall struct {
	Before []string `json:"before"` // which packages are there
	Needs  []string `json:"needs"`  // the capabilities that are asked for
}

// builddep installs what the spec needs. A spec is a program: the build user runs it,
// to a source RPM, and what root reads of that is a header without macros.
func (s builds) builddep(ctx context.Context, h host.Host, store, spec string) error {
	tool, err := s.tool(ctx, h.View())
	if err != nil {
		return err
	}
	source, err := s.sourceRPM(ctx, h, workOf(store), spec)
	if err != nil {
		return err
	}
	record, err := readCame(ctx, h.View(), store)
	if err != nil {
		return err
	}
	if err := record.settle(ctx, h.View()); err != nil {
		return err
	}
	needs, err := needsOf(ctx, h.View(), source)
	if err != nil {
		return err
	}
	before, err := readRPMs(ctx, h.View())
	if err != nil {
		return err
	}
	record.Call = &builddepCall{Before: slices.Sorted(maps.Keys(before)), Needs: needs}
	if err := writeCame(ctx, h, store, record); err != nil {
		return err
	}
	argv := []string{dnf, "-q", "-y", "builddep", source}
	if tool == yum {
		argv = []string{"yum-builddep", "-q", "-y", source}
	}
	_, failed := h.Commands.Run(ctx, host.Command{Argv: argv, Timeout: aptTime})
	if failed != nil {
		failed = fmt.Errorf("builddep: %w", explained(failed))
	}
	after, err := readRPMs(ctx, h.View())
	if err != nil {
		return errors.Join(failed, err)
	}
	record.add(after, func(string) bool { return true })
	return errors.Join(failed, writeCame(ctx, h, store, record))
}

// sourceRPM has the build user pack the source RPM, into whose header rpmbuild writes
// what the spec needs, and is root's copy of it.
func (s builds) sourceRPM(ctx context.Context, h host.Host, work, spec string) (string, error) {
	if err := s.rpmbuild(ctx, h, work, spec, "-bs", "--nodeps"); err != nil {
		return "", err
	}
	made, err := s.made(ctx, h.View(), topOf(work)+"/SRPMS")
	if err != nil {
		return "", err
	}
	if len(made) != 1 {
		return "", fmt.Errorf("rpmbuild -bs made %d source RPMs, not one: the spec leads them elsewhere, and builddep needs one", len(made))
	}
	sums, err := s.handOver(ctx, h, work, made, work)
	if err != nil {
		return "", err
	}
	name := slices.Collect(maps.Keys(sums))[0]
	if !strings.HasSuffix(name, ".src.rpm") && !strings.HasSuffix(name, ".nosrc.rpm") {
		return "", fmt.Errorf("rpmbuild -bs made %s, which is no source RPM", name)
	}
	return work + "/" + name, nil
}

// needsOf are the capabilities that a source RPM needs to be built.
func needsOf(ctx context.Context, v host.View, source string) ([]string, error) {
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"rpm", "-qp", "--qf", `[%{REQUIRENAME}\n]`, source}, Timeout: time.Minute})
	if err != nil {
		return nil, fmt.Errorf("ask what the build needs: %w", explained(err))
	}
	needs := []string{}
	for _, word := range strings.Fields(string(r.Stdout)) {
		if word = strings.TrimPrefix(word, "("); !strings.HasPrefix(word, "rpmlib(") {
			needs = append(needs, word)
		}
	}
	return needs, nil
}

// add ends the call under way: what is there since, and is ours, came with it.
func (r *cameRecord) add(now rpmTable, ours func(key string) bool) {
	for key := range now {
		if !slices.Contains(r.Call.Before, key) && ours(key) {
			r.Came = append(r.Came, key)
		}
	}
	slices.Sort(r.Came)
	r.Came, r.Call = slices.Compact(r.Came), nil
}

// settle ends a call that was cut. Another hand may have installed something since: of
// what is there, only what the spec needs came with the call.
func (r *cameRecord) settle(ctx context.Context, v host.View) error {
	if r.Call == nil {
		return nil
	}
	now, err := readRPMs(ctx, v)
	if err != nil {
		return err
	}
	needed, err := neededBy(ctx, v, nil, r.Call.Needs)
	if err != nil {
		return err
	}
	r.add(now, func(key string) bool { return needed[key] })
	return nil
}

func readCame(ctx context.Context, v host.View, store string) (cameRecord, error) {
	var record cameRecord
	text, ok, err := readText(ctx, v, cameOf(store))
	if err == nil && ok {
		err = json.Unmarshal([]byte(text), &record)
	}
	return record, err
}

func writeCame(ctx context.Context, h host.Host, store string, record cameRecord) error {
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return h.Files.Write(ctx, cameOf(store), b, host.Attributes{})
}

// takeBack removes what builddep brought and nothing else needs by now.
func takeBack(ctx context.Context, h host.Host, record buildFound) error {
	came, err := readCame(ctx, h.View(), record.Store)
	if err != nil {
		return err
	}
	if err := came.settle(ctx, h.View()); err != nil {
		return err
	}
	if len(came.Came) == 0 {
		return nil
	}
	now, err := readRPMs(ctx, h.View())
	if err != nil {
		return err
	}
	came.Came = slices.DeleteFunc(came.Came, func(key string) bool { return !now[key].there() })
	spare, _, err := now.spareable(ctx, h.View(), came.Came)
	if err != nil {
		return err
	}
	if err := (manager{tool: record.Tool}).remove(ctx, h, spare); err != nil {
		return fmt.Errorf("remove what builddep brought: %w", err)
	}
	return nil
}
