// Package steptest holds every module to the laws of a step:
//
//  1. a check writes nothing;
//  2. after an apply, a check finds nothing to do and a second apply writes
//     nothing;
//  3. undo brings back exactly the state that was found;
//  4. drift of every managed attribute, made by another hand, is found and
//     repaired, and another spelling of the same value is no drift;
//  5. killed between any two effects, the next run converges, and so does an
//     undo; a killed undo is finished by the next one.
//
// A module has one test a kind:
//
//	steptest.Laws(t, steptest.Subject{
//		Kind:    Kinds()[0],
//		Machine: func() *fake.Machine { … what the kind needs: programs, units, a database … },
//		Found: []steptest.Hand{
//			{Name: "absent"},
//			{Name: "different", Fake: func(m *fake.Machine) { … }, Host: []host.Command{ … }},
//		},
//		Cases: []steptest.Case{
//			{Name: "whole", Spec: FileSpec{ … every attribute … }, Drift: []steptest.Hand{
//				{Name: "mode", Fake: func(m *fake.Machine) { m.Chmod(path, 0o777) },
//					Host: steptest.Run("chmod", "0777", path)},
//				…
//			}},
//			{Name: "absent", Spec: FileSpec{Path: path, State: step.Absent}, Drift: …},
//		},
//		Touches: steptest.Touches{Files: []string{path}},
//		Clean:   steptest.Run("rm", "-f", path),
//	})
//
// Every case is walked from every found state, and half-applied states are
// made by the suite: the step is killed at each of its effects. The test fails
// where an attribute of the kind is managed by no case, or a managed attribute
// has no drift.
//
// # On a real host
//
// The same subjects walk a real Debian host, as root, with the real doors of
// package local. Build the test binary on the development machine, copy it and
// run it on a host that may be broken:
//
//	CGO_ENABLED=0 go test -c -o system.test ./modules/system
//	scp system.test HOST:/root/
//	ssh HOST WEFT_LAWS_HOST=1 /root/system.test -test.run Laws -test.v -test.timeout 1h
//
// Arrangement and drift are then made by the Host commands of each [Hand], with
// real tools; a hand that has only a Fake half is skipped, and says so. What
// the fake has by Machine (units, a package repository) Prepare brings. Objects
// carry [Prefix] in their names, unless the subject says what it borrows. What
// With -test.short each walk is killed at one effect only. What
// [Touches] names is compared byte for byte, and Clean runs before each walk
// and at the end. Only tests that call Laws mean anything there: -test.run
// picks them.
package steptest
