package executor_test

func childMain() {}
