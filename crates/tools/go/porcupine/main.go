// Whether a history of concurrent PUT and GET is linearizable, each user being a register: porcupine's verdict.
//
//	porcupine HISTORY [HTML]
//
// HISTORY has an operation in JSON on each line. The verdict is on stdout: "linearizable", "not linearizable", or
// "unknown" if it is not found within a minute. HTML gets a drawing of what was found.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// An operation, as the recorder writes it. Times are nanoseconds of one clock.
type operation struct {
	Client int    `json:"client"`
	User   string `json:"user"`
	// Whether it is a PUT; else it is a GET.
	Write bool `json:"write"`
	// The date of birth that was written or read; empty for a user that is not there.
	Value string `json:"value"`
	Call  int64  `json:"call"`
	// Of a PUT without an answer, the largest number there is: it may take effect at any later time, or never.
	Return int64 `json:"return"`
}

type input struct {
	user  string
	write bool
	value string
}

// A user's date of birth, which each PUT replaces: no user is there at first.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		users := map[string][]porcupine.Operation{}
		for _, operation := range history {
			user := operation.Input.(input).user
			users[user] = append(users[user], operation)
		}
		var partitions [][]porcupine.Operation
		for _, operations := range users {
			partitions = append(partitions, operations)
		}
		return partitions
	},
	Init: func() any { return "" },
	Step: func(state, in, out any) (bool, any) {
		if in := in.(input); in.write {
			return true, in.value
		}
		return out == state, state
	},
	DescribeOperation: func(in, out any) string {
		if in := in.(input); in.write {
			return fmt.Sprintf("PUT %s %s", in.user, in.value)
		}
		return fmt.Sprintf("GET %s: %s", in.(input).user, out)
	},
}

func run() error {
	file, err := os.Open(os.Args[1])
	if err != nil {
		return err
	}
	defer file.Close()
	var history []porcupine.Operation
	for decoder := json.NewDecoder(file); ; {
		var it operation
		if err := decoder.Decode(&it); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		history = append(history, porcupine.Operation{
			ClientId: it.Client,
			Input:    input{it.User, it.Write, it.Value},
			Output:   it.Value,
			Call:     it.Call,
			Return:   it.Return,
		})
	}
	result, info := porcupine.CheckOperationsVerbose(register, history, time.Minute)
	if len(os.Args) > 2 {
		if err := porcupine.VisualizePath(register, info, os.Args[2]); err != nil {
			return err
		}
	}
	verdicts := map[porcupine.CheckResult]string{
		porcupine.Ok:      "linearizable",
		porcupine.Illegal: "not linearizable",
		porcupine.Unknown: "unknown",
	}
	fmt.Println(verdicts[result])
	return nil
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: porcupine HISTORY [HTML]")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "porcupine:", err)
		os.Exit(1)
	}
}
